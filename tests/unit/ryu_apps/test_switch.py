"""What a switch is told when it connects."""

from deploy.config import PuntRates
from ryu_apps.pipeline import Punt
from ryu_apps.switch import punt_rates


def test_every_punt_has_a_rate() -> None:
    """A flow that names a meter which is not there is refused by the switch."""
    assert set(punt_rates(PuntRates())) == set(Punt)
