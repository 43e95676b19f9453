"""The only module that imports the OpenFlow framework.

Ryu 4.34 imports a name that eventlet has removed since (`eventlet.wsgi.ALREADY_HANDLED`), so it must be put back
before the first import of anything in Ryu. Everything else in this package imports the framework from here.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # both announce, in many places, how old they are

    import eventlet
    import eventlet.tpool
    import eventlet.wsgi
    from eventlet.greenio import GreenSocket

    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        eventlet.wsgi.ALREADY_HANDLED = object()

    from ryu import cfg
    from ryu.base.app_manager import AppManager, RyuApp
    from ryu.controller import controller, ofp_event
    from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from ryu.lib import hub
    from ryu.ofproto import nicira_ext, ofproto_parser, ofproto_protocol
    from ryu.ofproto import ofproto_v1_3 as ofproto
    from ryu.ofproto import ofproto_v1_3_parser as parser

__all__ = [
    "DEAD_DISPATCHER",
    "MAIN_DISPATCHER",
    "AppManager",
    "GreenSocket",
    "RyuApp",
    "cfg",
    "controller",
    "eventlet",
    "hub",
    "nicira_ext",
    "offline_datapath",
    "ofp_event",
    "ofproto",
    "ofproto_parser",
    "parser",
    "set_ev_cls",
]


def offline_datapath() -> ofproto_protocol.ProtocolDesc:
    """A stand-in for a connected switch with which messages can be encoded."""
    return ofproto_protocol.ProtocolDesc(version=ofproto.OFP_VERSION)
