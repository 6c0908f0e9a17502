"""Genre: bosses, colleagues and offices."""

from tersely.data.story.genre import Genre, asks, lines, values

WHO = """
my boss / the head of my team
my line manager
my coworker / the colleague at the next desk
our summer intern
the new hire / our newest recruit
our accountant
the receptionist / the person at reception
my team lead
the ceo / our chief executive
the security guard
my assistant
our biggest client
the it guy / the guy from tech support
our union rep
the night cleaner
the sales director / our head of sales
my office mate
"""

WHAT = """
sent a selfie to everyone / emailed a selfie to everyone
took credit for my report / claimed my report as theirs
deleted the shared calendar / wiped the shared calendar
spilled soup on the server / drowned the server in soup
fired the wrong person / let the wrong person go
made copies of my diary / photocopied my diary
fell asleep during my talk / snored through my talk
forgot to book the venue / never booked the venue
promised a crazy deadline / agreed to a crazy deadline
locked me out of my account / blocked my account
ate every single bagel / finished all the bagels
kept calling me kevin / called me kevin all day
sang on a video call / burst into song on a video call
read my review aloud / shouted my review to the room
gave away my desk / handed my desk to somebody else
"""

WHERE = """
at headquarters / at the head office
in the break room / in the staff kitchen
at the trade fair
in the parking garage / in the car park
at the company picnic
on the factory floor
in the conference room / in the big meeting room
at the warehouse
in the elevator / in the lift
in chicago
in frankfurt
in singapore
in toronto
"""

ENDING = """
i lost my bonus / my bonus vanished
we missed the launch / the launch was called off
everyone blamed me / the blame fell on me
i got a formal warning / a warning went on my file
the project was scrapped / the project got cancelled
i worked all weekend / my free weekend was gone
a customer walked away / we lost a customer
total chaos broke out / it turned into total chaos
i was moved to nights / i ended up on night shifts
they got promoted / they were given a promotion
i cried in my car / i sat crying in my car
nobody even noticed / not one person noticed
half the team quit / half of the team resigned
"""

ASK = """
hand in my notice
go to human resources
ask for a raise
update my resume
confront them in private
report them
let it slide
request a transfer
take a sick day
record our meetings
set firmer boundaries
join the union
keep my head down
"""

TALK = """
Our coffee machine has been out of order for {number} weeks.
The office is {colour} from floor to ceiling, which does not help.
We have {number} meetings a day about having fewer meetings.
My chair squeaks every time I breathe.
Somebody microwaves {food} at ten in the morning, and we all suffer.
The printer only works if you compliment it.
I have been with this company for {number} years and still have no {object}.
My job title has the word synergy in it, so you know the kind of place.
Our mission statement was clearly written by a {job}.
I eat {food} at my keyboard like everybody else here.
The dress code says smart, but the budget says otherwise.
I used to be a {job}, and honestly the hours were better.
Every spreadsheet here is called final, then final two, then final final.
"""

WORK = Genre(
    name="work",
    who=values("who", WHO),
    what=values("what", WHAT),
    where=values("where", WHERE),
    ending=values("ending", ENDING),
    ask=asks(ASK),
    talk=lines(TALK),
)
