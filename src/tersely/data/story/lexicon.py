"""All genres, and every value that any post can state."""

from functools import cache

from tersely.data.story.dating import DATING
from tersely.data.story.family import FAMILY
from tersely.data.story.genre import Genre
from tersely.data.story.money import MONEY
from tersely.data.story.pets import PETS
from tersely.data.story.roommates import ROOMMATES
from tersely.data.story.school import SCHOOL
from tersely.data.story.times import WHEN
from tersely.data.story.travel import TRAVEL
from tersely.data.story.work import WORK
from tersely.records import Fact

GENRES: tuple[Genre, ...] = (
    ROOMMATES,
    WORK,
    FAMILY,
    TRAVEL,
    SCHOOL,
    PETS,
    MONEY,
    DATING,
)


@cache
def all_values() -> tuple[Fact, ...]:
    """Every value of every slot and genre, once each.

    No form of a value is contained, as a sequence of whole words, in a form of another value,
    and no sentence around the facts contains a form: so a form in a text always means its value.
    """
    found = dict.fromkeys(WHEN)
    for genre in GENRES:
        for values in (genre.who, genre.what, genre.where, genre.ending, genre.ask):
            found.update(dict.fromkeys(values))
    return tuple(found)
