"""The picture of the recipe: no way runs through another's lane, each thing stands below what it was made of."""

from itertools import pairwise

from r1data.report.gathered import told_in_order
from r1data.report.rail import lanes, rail

ABOVE: dict[str, list[str]] = {
    **{"student_base": [], "r1": ["dev3", "rm_safe"], "problems": [], "base": ["problems"]},
    **{"zero": ["base", "problems"], "cold_start": ["zero"], "dev1": ["base", "cold_start"], "dev3": ["base", "dev1"]},
    **{"rm_safe": ["dev3"], "distill": ["student_base", "dev1"], "of my own": ["zero"]},
}


def test_the_order_is_that_of_the_story_and_inputs_come_first() -> None:
    order = told_in_order(ABOVE)
    assert order[:5] == ["problems", "base", "zero", "cold_start", "dev1"]
    assert order[-2:] == ["distill", "of my own"]
    assert all(order.index(a) < order.index(n) for n, above in ABOVE.items() for a in above)


def test_no_two_ways_share_a_lane_at_the_same_time() -> None:
    order = told_in_order(ABOVE)
    found, row = lanes(order, ABOVE), {name: i for i, name in enumerate(order)}
    ends = {n: max((row[m] for m in order if n in ABOVE[m]), default=row[n]) for n in order}
    for lane in set(found.values()):
        mine = sorted((row[n], ends[n]) for n in order if found[n] == lane)
        assert all(end <= start for (_, end), (start, _) in pairwise(mine))


def test_every_node_has_a_stop_and_every_origin_a_way() -> None:
    order = told_in_order(ABOVE)
    drawn, wide = rail(order, ABOVE, dict.fromkeys(order, "dataset"))
    used = {a for above in ABOVE.values() for a in above}
    assert (drawn.count("<circle"), drawn.count("<path")) == (len(order), len(used))
    assert f'width="{wide}"' in drawn
