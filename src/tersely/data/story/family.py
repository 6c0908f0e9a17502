"""Genre: relatives and the days on which they meet."""

from tersely.data.story.genre import Genre, asks, lines, values

WHO = """
my mother / my mum
my father / my dad
my little sister / my younger sister
my big brother / my older brother
my bossy aunt
my uncle
my grandmother / my grandma
my grandfather / my grandpa
my cousin
my stepfather / my stepdad
my nephew
my niece
my twin
my godmother
my great uncle
my oldest son / my teenage son
my daughter
"""

WHAT = """
dropped the wedding cake / let the wedding cake fall
burned the holiday dinner / turned the dinner into charcoal
gave away my piano / donated my piano
went through my old letters / opened all my old letters
announced my secret engagement / told everyone i was engaged
drove the van into a ditch / put the van into a ditch
spent the reunion fund / used up the reunion money
gave my toddler a mohawk / cut my toddler a mohawk
put up my baby photos / passed around my baby photos
arm wrestled the priest / challenged the priest to arm wrestling
pawned the heirloom watch / sold the family watch
walked out during a toast / left in the middle of a toast
poured gravy on my laptop / soaked my laptop in gravy
invited my old rival / asked my old rival to come
forgot to pick up the kids / left the kids waiting for hours
"""

WHERE = """
at the family reunion
at my childhood home
in the backyard / out in the backyard
at a baby shower
at the christening
at the anniversary dinner
on the old farm
in the church hall
at the barbecue
in cork
in naples
in tulsa
in winnipeg
"""

ENDING = """
we ate cold cereal / supper was cold cereal
half the family left early / most relatives went home early
nobody talked afterwards / the whole family went silent
i drove home in tears / i cried the whole way home
the group chat exploded / our group chat went wild
the children loved it / the children were thrilled
i was cut out of the will / the will was rewritten
they blamed the dog / the dog took the blame
an ambulance came / somebody called an ambulance
pictures of it went online / the photos ended up online
they denied everything / they swore it never happened
a neighbour filmed it / a neighbour got it all on film
my wife took their side / even my wife sided with them
"""

ASK = """
skip the next holiday
send a card
host it next year
cut contact
bring it up again
pay for the damage
tell my therapist
mute the group chat
demand an apology
return the gift
write a long letter
call a family meeting
stay neutral
"""

TALK = """
We are {number} people in this clan and {number} of us are stubborn.
Every gathering comes with a bowl of {food} that nobody touches.
There is always one relative who brings a {object} as a present.
We have the same argument about {sport} every single year.
The seating plan was made with more care than most peace treaties.
Somewhere there is a video of me aged {number} singing {music}.
In our house love is shown by handing over leftover {food}.
The kids' table is the only place with a decent conversation.
Our family motto should be that nobody asked but here we are.
I was the quiet child, mostly because nobody let me finish.
Someone told the old story about the {animal} in the chimney again.
There were matching {colour} shirts, and yes, I wore mine.
"""

FAMILY = Genre(
    name="family",
    who=values("who", WHO),
    what=values("what", WHAT),
    where=values("where", WHERE),
    ending=values("ending", ENDING),
    ask=asks(ASK),
    talk=lines(TALK),
)
