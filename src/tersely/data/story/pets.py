"""Genre: animals and the people who look after them."""

from tersely.data.story.genre import Genre, asks, lines, values

WHO = """
my neighbour / the woman across the street
the vet / our vet
my dog sitter
the groomer / our pet groomer
a shelter volunteer
the mail carrier / our mailman
my stepsister
the breeder
the zoo keeper
a parrot trainer
the paper boy
my grandson
the park ranger
my gardener
my hairdresser
my nephew
my niece
"""

WHAT = """
fed my dog a burrito / gave my dog a burrito
let the hamster out / opened the hamster cage
dyed my poodle pink / turned my poodle pink
taught my parrot to swear / made my parrot swear
replaced my goldfish / swapped my goldfish in secret
walked the wrong dog / came back with the wrong dog
entered my cat in a contest / put my cat on stage
left the gate open / forgot to close the gate
dressed up my rabbit / dressed my rabbit as a pirate
shaved my cat / gave my cat a buzz cut
renamed my dog / gave my dog a new name
bought nine chickens / came home with nine chickens
lost my lizard / let my lizard run off
tripped over my tortoise / fell over my tortoise
hypnotised my goose / put my goose in a trance
"""

WHERE = """
at the dog park
in the waiting room
on the front lawn / out on the lawn
at the pet show
in the barn
by the duck pond
at the animal shelter
on the hiking trail
in the greenhouse
in tucson
in bristol
in perth
in calgary
"""

ENDING = """
the bill was enormous / we got an enormous bill
i searched all night / i spent all night searching
we won first prize / first prize went to us
the clip went viral / a million people watched the clip
animal control turned up / someone called animal control
my sofa was shredded / nothing was left of my sofa
i got bitten twice / two bites were my reward
they threatened to sue / there was talk of a lawsuit
my allergies got worse / my allergies flared up
everyone got fleas / the fleas spread to everyone
the whole street woke up / nobody on the street slept
i bought new curtains / the curtains had to be replaced
the poor thing hid for days / the poor animal hid for days
"""

ASK = """
install a camera
find a second pet
build a taller fence
hire a trainer
put up a sign
sue for damages
buy a stronger leash
rehome the animal
ask them to pay
trust them again
move the cage
warn people online
skip the next show
"""

TALK = """
I have a {animal} living on my windowsill who watches everything.
My pet budget is bigger than my {food} budget, and I am fine with that.
There is fur on my {object}, my {furniture} and probably my lungs.
I talk to animals more than to people, and it shows.
The treats cost more than my own {food}.
My {furniture} has been claimed as a throne.
I sing {music} during feeding time and nobody complains.
The toy with the bell was a mistake, I admit that.
We tried a {colour} collar once and it was considered an insult.
Our carpet looks like a {animal} exploded.
I wake up at five because somebody wants breakfast.
My phone has {number} hundred photos of the same nap.
"""

PETS = Genre(
    name="pets",
    who=values("who", WHO),
    what=values("what", WHAT),
    where=values("where", WHERE),
    ending=values("ending", ENDING),
    ask=asks(ASK),
    talk=lines(TALK),
)
