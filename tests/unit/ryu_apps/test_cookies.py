from ryu_apps import cookies
from ryu_apps.cookies import Category


def test_fields_of_a_cookie() -> None:
    value = cookies.cookie(Category.TUNNEL, 7, 0x0005000C)
    assert value == 0x6D36_03_07_0005000C
    assert cookies.is_ours(value)
    assert not cookies.is_ours(value ^ 1 << 63)
    assert (cookies.category(value), cookies.generation(value), cookies.item(value)) == (3, 7, 0x0005000C)


def test_generation_wraps() -> None:
    assert cookies.generation(cookies.cookie(Category.PIPELINE, 256)) == 0


def test_next_generation_is_none_of_those_seen() -> None:
    assert cookies.next_generation(set()) == 0
    assert cookies.next_generation({3}) == 4
    assert cookies.next_generation({255}) == 0
    assert cookies.next_generation({255, 0, 1}) == 2


def test_binding_survives_in_the_object() -> None:
    for sequence, flags in ((0, 0), (65_535, 0xF000), (15, 0xC000)):
        assert cookies.binding_of_item(cookies.binding_item(sequence, flags)) == (sequence, flags)
