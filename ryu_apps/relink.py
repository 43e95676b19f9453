"""From one configuration to another one that differs only in what can change warm: engines, switches, flows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from deploy.config import BridgeLinkConfig, Config, CorrespondentLinkConfig, HomeLinkConfig
from ryu_apps import cookies, encode, layouts, pipeline
from ryu_apps.home_bridge import HomeBridge
from ryu_apps.of_compat import ofproto
from ryu_apps.switch import Switch, punt_rates

if TYPE_CHECKING:
    from ryu_apps.app import HomeAgentApp


class Relink:
    """One change of the application's configuration."""

    def __init__(self, app: HomeAgentApp, after: Config) -> None:
        self._app = app
        self._before = app.config
        self._after = after
        self._now = app.clock()

    def apply(self) -> None:
        """Bindings end that the new configuration does not allow or serve. All others stay, with their flows."""
        app = self._app
        app.config = self._after
        self._home_links()
        self._correspondent_links()
        self._rules()
        for datapath in list(app.datapaths):
            self._switch(datapath)
        known = frozenset(pipeline.meters(punt_rates(self._before.limits.punt_rates)))
        wanted = pipeline.meters(punt_rates(self._after.limits.punt_rates))
        for switch in set(app.switches.values()):
            for meter in wanted:
                if meter not in known:
                    _put(switch, encode.meter_mod(meter, ofproto.OFPMC_MODIFY))
            switch.bridge.outbox.flush()
        app.reschedule()

    def _home_links(self) -> None:
        app, engine, now = self._app, self._app.engine, self._now
        before = {link.name: link for link in self._before.home_links}
        after = {link.name: link for link in self._after.home_links}
        for name in before.keys() - after.keys():
            app.perform(engine.remove_link(app.links.pop(name), now))
        changed = [(app.links[name], before[name], after[name]) for name in before.keys() & after.keys()]
        # First what goes: a prefix may move from one link to another.
        for link, old, new in changed:
            staying = tuple(prefix for prefix in old.prefixes if prefix in new.prefixes)
            if staying != old.prefixes:
                app.perform(engine.set_prefixes(link, staying, now))
        for link, old, new in changed:  # and first the settings, by which mobile nodes are told of the prefixes
            settings = (new.max_lifetime, new.router_advertisement, new.mobile_prefix)
            if settings != (old.max_lifetime, old.router_advertisement, old.mobile_prefix):
                app.perform(engine.set_link(link, *settings, now))
            if new.prefixes != old.prefixes:
                app.perform(engine.set_prefixes(link, new.prefixes, now))
        for name in after.keys() - before.keys():
            app.links[name] = layouts.home_link(after[name])
            app.perform(engine.add_link(app.links[name], now))

    def _correspondent_links(self) -> None:
        app, engine, now = self._app, self._app.correspondent, self._now
        before = {link.name: link for link in self._before.correspondent_links}
        after = {link.name: link for link in self._after.correspondent_links}
        for name in before.keys() - after.keys():
            app.perform(engine.remove_link(app.correspondent_links.pop(name), now))
        for name in before.keys() & after.keys():
            link, new = app.correspondent_links[name], after[name]
            if (new.prefixes, new.max_lifetime) != (link.prefixes, link.max_lifetime):
                app.perform(engine.set_link(link, new.prefixes, new.max_lifetime, now))
        for name in after.keys() - before.keys():
            app.correspondent_links[name] = layouts.correspondent_link(after[name])
            engine.add_link(app.correspondent_links[name])

    def _rules(self) -> None:
        app, before, after = self._app, self._before, self._after
        if before.security != after.security:
            protected = app.gateway.with_return_routability
            app.gateway.configure(after.security, int(time.time()))
            changed = protected ^ app.gateway.with_return_routability
            for switch in set(app.switches.values()):
                for role in switch.bridge.roles.values():
                    if isinstance(role, HomeBridge) and switch.bridge.ready:
                        role.protection_changed(changed)
        if (before.security, before.access, before.limits) != (after.security, after.access, after.limits):
            associations = layouts.authentication_associations(after.security)
            limits = layouts.limits(after.limits)
            app.perform(app.engine.set_rules(limits, after.access, associations, self._now))
            app.correspondent.set_limits(layouts.correspondent_limits(after.limits))

    def _switch(self, datapath: Any) -> None:
        """A switch carries the links of its bridge, with flows that fit them."""
        app = self._app
        switch: Switch | None = datapath.receiver
        config = app.link_of(datapath)
        if config is None:
            if switch is not None:
                self._clear(switch)
                app.detach(datapath)
            return
        correspondents = app.correspondents_on(config)
        if switch is None or set(switch.bridge.roles) != _names(config, correspondents):
            app.detach(datapath)
            app.attach(datapath)
            return
        switch.config = config
        layout = layouts.bridge_layout(config, correspondents, datapath)
        if layout is None:
            return
        roles: dict[str, Any] = {}
        if isinstance(config, HomeLinkConfig):
            roles[config.name] = layouts.home_layout(config, app.gateway.active)
        if correspondents is not None:
            roles[correspondents.name] = layouts.correspondent_layout(correspondents, config)
        switch.bridge.change_layouts(layout, roles)

    def _clear(self, switch: Switch) -> None:
        """Nothing of ours stays on a bridge that carries no link any more."""
        _put(switch, encode.delete_generation(cookies.APP_TAG << 48, cookies.APP_MASK))
        for meter in pipeline.meters(punt_rates(self._after.limits.punt_rates)):
            _put(switch, encode.meter_mod(meter, ofproto.OFPMC_DELETE))
        switch.bridge.outbox.flush()


def _names(config: BridgeLinkConfig, correspondents: CorrespondentLinkConfig | None) -> set[str]:
    return {link.name for link in (config, correspondents) if link is not None}


def _put(switch: Switch, message: Any) -> None:
    switch.bridge.outbox.put(encode.wire(message, switch.bridge.outbox.next_xid()))
