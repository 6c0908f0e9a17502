"""When it happened: the same choices for every genre."""

from tersely.data.story.genre import values

WHEN = values(
    "when",
    """
    last tuesday
    last friday night / on friday night
    on sunday morning / early on sunday
    late on wednesday / on wednesday evening
    at dawn on saturday / very early on saturday
    on a rainy thursday
    yesterday afternoon
    this morning / earlier today
    the other night
    the day before yesterday / two days ago
    a few days ago
    ten days ago
    two weeks ago / a fortnight ago
    the week before last
    five weeks ago
    a month ago
    three months ago
    half a year ago / six months ago
    about a year ago
    last weekend / over the weekend
    last spring
    last summer
    last autumn / last fall
    last winter
    over easter / during easter
    on christmas eve
    on halloween / halloween night
    on thanksgiving
    on my birthday
    on my day off
    on labour day
    on leap day
    right after new year
    before the holidays
    in early march / at the start of march
    on the first of may
    late in april
    in june
    in the middle of july
    late in august / at the end of august
    in mid october
    in november
    during the heat wave
    during the big storm
    """,
)
