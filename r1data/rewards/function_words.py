"""Frequent little words: those that only English has, and those of other languages in Latin letters.

They tell plain English from text that a language identifier must see. Words that English shares with another language
(`die`, `me`, `on`, `no`, `in`, `of` ...) are in neither list.
"""

ENGLISH = """
about above after again all also always and another any anything are around because been before being between both
called cannot check could did does doing done down each either else enough equals even every everything first
following found from further given gives going good got had half has have having hence here hold holds however if is
into it its itself just keep know known last least less let like likely made make makes many maybe means might more
most much must need needs neither never next nothing now number once one only other otherwise our out over own perhaps
problem question rather really right said same see seems shall should show simply since some something still such take
than that the their them themselves then there therefore these they thing think this those three through thus together
too try two under until up upon us use used using value very wait want was way well were what whatever when whenever
where whether which while who whole whose why will with within without would write yes yet you your zero
minus answer sorry can help hello welcome
"""

OTHER = """
au aux avec c'est ce cela ces cette comme dans des deux donc du elle elles est et être il ils je la le les leur lui mais
même ne nous où par parce pas peut plus pour puis quand que quel quelle qui sa sans ses soit sont sur tous tout toute
très un une vous voici voilà
aber als alle alles auch auf aus bei bis dann das dass daß dem den der des dich die diese dieser dieses dir doch durch
ein eine einem einen einer eines er es für ganz gibt haben hat hier ich ihr immer ist ja kann kein keine können man
mehr mit muss müssen nach nicht noch nur oder ohne sehr sein sich sie sind so soll über um und uns unter viel von vor
wann warum was weil wenn wer werden wie wieder wir wird wo zu zum zur zwei
al algo aquí así aunque cada como con cual cuando cómo de del desde donde dos el ella ellos en entonces entre era esa
ese eso esta estas este esto estos está están hay hasta las lo los mas más mi muy nada nos nosotros otra otro para
pero porque por primero pues qué quien se según ser si sí siempre sin sobre son su sus también tan tiene todo todos tres
tu una uno unos usted ya yo
allora anche che chi ci cosa come cui dal dalla degli dei del della delle di due e ed essere gli ha hanno ho i il
lei loro ma nel nella nelle noi non ogni perché più poi quale quando quanto quella quello questa questo sono solo
sua suo sulla tra tutti tutto uno è
ao aos às até com da das depois do dos ela eles em então essa esse está eu foi isso isto já lhe mais mas mesmo meu
muito na não nas nem nós nos num numa o os ou pela pelo pode porque quem são se sem ser seu sua também tem têm uma você
aan dat deze dit dus een geen het hij hoe ik je kan maar meer met moet naar niet nog ook op te tot uit van veel voor
waar wat we wel wij worden zal ze zijn zo
och att det som är inte jag till av den för på ett har med om kan från eller ikke jeg og er til på av fra eller
jest nie że się na to jak ale są czy bir ve bu için ile olarak değil yang dan ini itu dengan untuk tidak adalah
và của là không một có cho được các
""".replace("c'est", "")


def vocabulary() -> dict[str, int]:
    """1 for the English words, 2 for the others; a word in both lists is in neither."""
    english, other = set(ENGLISH.split()), set(OTHER.split())
    # forms of everyday English that other lists claim
    shared = {"so", "was", "do", "we", "me", "on", "in", "an", "die", "man", "has", "her", "he", "to"}
    told = dict.fromkeys(english - other - shared, 1) | dict.fromkeys(other - english - shared, 2)
    return {w: k for w, k in told.items() if len(w) > 1}
