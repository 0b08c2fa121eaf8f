"""Which class is a rival of a method. To add one: its module, its constants in ulfine/params/rival.py, a line here."""

from ulfine.methods.rivals.acr import ACR
from ulfine.methods.rivals.base import Beginning, Rival
from ulfine.methods.rivals.clip_adapter import CLIPAdapter
from ulfine.methods.rivals.crest import CReST
from ulfine.methods.rivals.daso import DASO
from ulfine.methods.rivals.debiaspl import DebiasPL
from ulfine.methods.rivals.finessl import FineSSL
from ulfine.methods.rivals.flexmatch import FlexMatch
from ulfine.methods.rivals.freematch import FreeMatch
from ulfine.methods.rivals.simpro import SimPro
from ulfine.methods.rivals.softmatch import SoftMatch
from ulfine.params.rival import Trained

KINDS: dict[str, type[Rival]] = {
    "flexmatch": FlexMatch,
    "freematch": FreeMatch,
    "softmatch": SoftMatch,
    "debiaspl": DebiasPL,
    "simpro": SimPro,
    "acr": ACR,
    "daso": DASO,
    "finessl": FineSSL,
    "crest": CReST,
    "clip_adapter": CLIPAdapter,
}


def make_rival(options: Trained | None, beginning: Beginning) -> Rival:
    """The rival of these constants; FixMatch itself where there are none."""
    return Rival(beginning) if options is None else KINDS[options.kind](options, beginning)
