"""Genre: trips that did not go as planned."""

from tersely.data.story.genre import Genre, asks, lines, values

WHO = """
the tour guide / our guide
my travel buddy / the friend i travel with
the taxi driver / our cab driver
the flight attendant
the hotel clerk / the man at the front desk
a backpacker from norway
the passenger beside me
the bus driver
the hostel owner / the owner of our hostel
the customs officer / the border officer
a street musician
the ferry captain
the ticket inspector
my hiking partner
a retired nurse / an elderly nurse
our surf instructor / the surf teacher
"""

WHAT = """
lost my passport / misplaced my passport
made us miss the train / cost us our train
booked the wrong month / reserved the wrong month
swapped our suitcases / mixed up our suitcases
packed the wrong bag / brought the wrong bag
fed my map to a goat / let a goat eat my map
ate a whole durian / finished a whole durian
got us banned for life / earned us a lifetime ban
dropped my phone in a fountain / threw my phone into a fountain
handed me a fake ticket / gave me a fake ticket
confused the time zones / mixed up the time zones
sat on my camera / crushed my camera
gave my seat to a stranger / let a stranger take my seat
traded my shoes for a hat / swapped my shoes for a hat
ordered food for twenty / asked for twenty portions
"""

WHERE = """
at the airport / by the departure gate
on a night bus
on the ferry
at a mountain hut
on the beach / down at the beach
at the train station / on the platform
at a hostel
in the hotel lobby
at the toll booth / by the toll booth
in lisbon
in kyoto
in nairobi
in lima
in oslo
"""

ENDING = """
the trip was over / the trip ended there
i slept on a bench / a bench was my bed
we walked for hours / we had to walk for hours
the insurance refused to pay / my insurance paid nothing
i got a free upgrade / they upgraded me for free
i flew home alone / i took a flight home alone
all my luggage was searched / every bag was searched
we missed the concert / the concert went on without us
a stranger saved the day / a kind stranger rescued us
my card was declined / no machine took my card
i lived on airport noodles / airport noodles were my dinner
they kept the tip / they still wanted a tip
we got a police escort / the police escorted us out
"""

ASK = """
ask for a refund
travel alone next time
file a complaint
post a bad review
cancel the rest
get better insurance
switch to trains
write to the embassy
laugh about it
go back there
say sorry first
book it all again
stick to day trips
"""

TALK = """
I had packed {number} pairs of socks and no {object}.
My backpack weighs about as much as a {animal} with a grudge.
I can say hello, thank you and {drink} in {number} languages.
The guidebook described the area as charming, which means no toilets.
I had been awake for {number} hours and smelled like {food}.
Nothing prepares you for a {number} hour layover with a broken {gadget}.
I collect fridge magnets, so judge me if you must.
The view was lovely, if you ignored the {weather}.
My phrase book only covered {subject} and ordering {food}.
I always pick the slowest queue, it is a talent.
Everybody around us seemed to be carrying a {furniture}.
The brochure promised sunshine, and we got {weather}.
My sunscreen had leaked all over my {object}.
"""

TRAVEL = Genre(
    name="travel",
    who=values("who", WHO),
    what=values("what", WHAT),
    where=values("where", WHERE),
    ending=values("ending", ENDING),
    ask=asks(ASK),
    talk=lines(TALK),
)
