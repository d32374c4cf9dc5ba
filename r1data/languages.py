"""The languages that a text can be found to be in, by ISO 639 code: what a row or a source may ask for."""

# those of a script of their own (`r1data.rewards.scripts`), then those in Latin letters that the identifier tells apart
_CODES = """
ar el en he hi ja ko ru th zh af ak ay az br bs ca ceb co crs cs cy da de eo es et eu fi fj fo fr fy ga gd gl
gn gv ha haw hmn hr ht hu ia id ie ig ik is it jw kha kl la lb lg ln lt lv mfe mg mi ms mt na nl nn no nr nso
ny oc om pl pt qu rm rn ro rw sco sg sk sl sm sn so sq ss st su sv sw tl tn to tr ts ve vi vo war wo xh yo za
zu
"""
KNOWN = frozenset(_CODES.split())


def code_of(language: str | None) -> str | None:
    """The code as the measures have it (`en` of `EN`, `en-US`, `en_GB`); None for a language that they do not know."""
    code = (language or "").strip().casefold().replace("_", "-").partition("-")[0]
    return code if code in KNOWN else None
