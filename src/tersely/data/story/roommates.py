"""Genre: living under one roof with other people."""

from tersely.data.story.genre import Genre, asks, lines, values

WHO = """
my roommate / my flatmate
my landlord / the man we rent from
my upstairs neighbour / the tenant above us
my downstairs neighbour / the tenant below us
my subletter
my old college friend
the guy next door
the newest tenant
our building manager
my bunkmate
the girl from the attic
our house guest / the guest on our sofa
the janitor / our caretaker
my lodger
our plumber
the handyman / our repair guy
"""

WHAT = """
ate my birthday cake / finished my birthday cake
set off the fire alarm / triggered the fire alarm
threw out my favourite chair / tossed my best chair
painted the walls orange / covered the walls in orange paint
lost the spare keys / misplaced our spare keys
adopted a loud parrot / brought home a noisy parrot
shrank my wool sweater / ruined my good sweater
invited forty strangers / let in forty strangers
clogged the drain with glitter / poured glitter down the drain
sold my bike online / put my bike up for sale
used my toothbrush for weeks / shared my toothbrush in secret
cancelled the internet / cut off our internet
let raw fish rot / hid raw fish behind the heater
practised drums at midnight / drummed until midnight
flooded the kitchen / left the kitchen under water
"""

WHERE = """
at the lake house
in the basement / down in the basement
on the roof terrace
at our housewarming party
in the shared garage
in the stairwell
in the laundry room
in our new apartment / at our new place
at the summer cabin
in denver
in leeds
in dublin
in portland
"""

ENDING = """
the deposit was gone / we lost the deposit
nobody spoke for a week / all talk stopped for a week
i slept in the bathtub / my bed was the bathtub
the police showed up / two officers knocked on the door
i paid the whole bill / the whole bill landed on me
we got an eviction notice / an eviction letter arrived
the carpet was ruined / the carpet had to go
they just laughed / they laughed it off
the rent went up / our rent was raised
i moved into a hostel / i checked into a hostel
they never said sorry / there was no apology
the neighbours started a petition / a petition went around
my plants did not survive / all my plants died
"""

ASK = """
move out
send them an invoice
change the locks
draw up a contract
call a lawyer
forgive and forget
find a new flat
warn the other tenants
label all my food
charge a fee
hold a house meeting
buy a small safe
get my own fridge
"""

TALK = """
We split the rent {number} ways and the arguments {number} ways too.
The chore wheel on the fridge is purely decorative at this point.
There is a {furniture} in the corridor that nobody admits to owning.
Our walls are so thin that I can hear people chewing {food}.
I label my {food} with tape, and the tape gets stolen as well.
The shower has two settings, glacier and volcano.
We have one decent pan and we guard it like a dragon.
The lease is {number} pages long and I read maybe one of them.
Somebody keeps putting the {object} in the dishwasher.
Our recycling bin has its own ecosystem by now.
The thermostat war has been going on since the day we signed.
A {animal} lives under the porch and pays no rent either.
I once found a {gadget} in the freezer and decided not to ask.
"""

ROOMMATES = Genre(
    name="roommates",
    who=values("who", WHO),
    what=values("what", WHAT),
    where=values("where", WHERE),
    ending=values("ending", ENDING),
    ask=asks(ASK),
    talk=lines(TALK),
)
