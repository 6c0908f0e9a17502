"""Genre: love, crushes and friends."""

from tersely.data.story.genre import Genre, asks, lines, values

WHO = """
my girlfriend
my boyfriend
my best friend / my closest friend
my crush / the person i fancy
my wingman
my blind date
my pen pal
my childhood friend
my gym buddy
my dance partner / my tango partner
my fiance
my maid of honour
my karaoke friend
a match from an app
my bandmate
my first love / my old flame
"""

WHAT = """
forgot my name / could not recall my name
kissed someone else / kissed a total stranger
brought a chaperone / came with a chaperone
proposed as a joke / made a fake proposal
dressed up as a banana / came in a banana costume
recited a poem about me / read out a poem about me
lied about their age / gave a false age
ignored me all evening / gave me the silent treatment
lectured me on sourdough / talked only about sourdough
ruined my surprise party / spoiled my surprise party
told everyone my secret / spilled my secret
wore my best jacket / walked off in my best jacket
burst into tears / started to sob
danced on a table / climbed on a table and danced
called me a backup plan / said i was the backup plan
"""

WHERE = """
at the cinema / at the movies
at a rooftop bar
at the bowling alley
in the botanical garden
at a karaoke bar
at the aquarium
at a pottery class
on a boat trip
at the ice rink
in paris
in seattle
in barcelona
in melbourne
in memphis
"""

ENDING = """
we have not talked since / all contact stopped
i went home alone / i left by myself
everyone stared at us / the whole room stared at us
i blocked their number / i deleted their number
they sent me flowers / a bouquet arrived for me
strangers applauded / there was applause from strangers
i paid for both of us / paying was left to me
it broke my heart / my heart was broken
we got thrown out / security threw us out
the rumour spread fast / people began to gossip
they moved to another city / they left for another city
i ate both desserts / i finished two desserts
we ended up laughing / it made us both laugh
"""

ASK = """
give it another try
end things for good
text them first
delete the app
wait a month
take them back
plan a second date
keep it a secret
stay single for now
unfollow them
talk it through
send back the necklace
try couples therapy
"""

TALK = """
I had ironed a {colour} shirt for the occasion.
My dating profile says I enjoy {hobby}, which is a lie.
I get nervous and talk about {subject} for {number} minutes straight.
We had been getting on well, mostly through memes.
I practised my smile in the back of a {object}.
My horoscope warned me about {weather} and flirting.
I spilled {drink} on my sleeve before anything even began.
Friends keep saying there is a lid for every pot, and I am a wok.
The last person I went out with was a {job} with a pet {animal}.
I own one nice outfit and a {object} that counts as an accessory.
We both like {music}, so it looked promising.
I am told that I come across as a friendly {job}.
Romance is hard when your {gadget} plays {music} at random.
"""

DATING = Genre(
    name="dating",
    who=values("who", WHO),
    what=values("what", WHAT),
    where=values("where", WHERE),
    ending=values("ending", ENDING),
    ask=asks(ASK),
    talk=lines(TALK),
)
