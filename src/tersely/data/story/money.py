"""Genre: loans, bargains and bad investments."""

from tersely.data.story.genre import Genre, asks, lines, values

WHO = """
my bank adviser / the adviser at my bank
my business partner
my financial planner
my old classmate
my insurance agent
the car dealer / the car salesman
my godfather
the tax inspector / the tax officer
the auctioneer
my crypto friend
my poker buddy
the pawnbroker
our builder / the contractor
my former husband
our waiter
my cousin
my uncle
"""

WHAT = """
borrowed two thousand dollars / took two thousand dollars from me
bet my savings on a horse / put my savings on a horse
bought a broken boat / paid cash for a broken boat
shredded my tax papers / destroyed my tax papers
charged me double / made me pay double
forged my signature / faked my signature
sold me a fake painting / talked me into a fake painting
invested it all in llamas / put everything into llamas
maxed out my card / used my card to the limit
binned my lottery ticket / threw away my lottery ticket
dragged me into a pyramid scheme / got me into a pyramid scheme
hid the receipts / kept the receipts from me
refused to split the check / would not split the check
paid me in coupons / settled the debt with coupons
doubled the price / asked for twice the price
"""

WHERE = """
at the bank
at the casino
at the car dealership
at the auction
at the flea market
in the courthouse
at a fancy restaurant
at the racetrack
in a hotel bar
in reno
in geneva
in houston
in dubai
in manchester
"""

ENDING = """
my account was empty / nothing was left in my account
i owed the tax office / the tax office wanted thousands
i sold my car / my car had to be sold
the debt tripled / i owed three times as much
they disappeared / they vanished without a trace
i got half of it back / only half of it came back
a judge got involved / it went before a judge
my credit score sank / it wrecked my credit score
i ate rice for weeks / rice was all i could afford
we made a small profit / there was even a small profit
the cheque bounced / the bank rejected the cheque
i took a second job / a second job was the only way
my wife found out / my wife heard all about it
"""

ASK = """
get my money back
close the account
go to court
write it off
tell the police
freeze my card
see a debt counsellor
get it in writing
offer a payment plan
learn to budget
name them online
block their number
keep quiet about it
"""

TALK = """
I keep a jar of coins next to the {gadget} for emergencies.
My budget has a line for {food} and a line for regret.
Somebody told me to cut back on {drink}, as if that were the problem.
I once paid {number} dollars for a {object}, so I am no expert.
Interest rates confuse me about as much as {subject}.
My savings plan was basically hope and {food}.
I read {number} articles about investing and understood the pictures.
The paperwork alone filled a whole {furniture}.
My salary is fine for a {job} with no hobbies.
I check my balance the way other people watch horror films.
The calculator on my phone laughed, or so it felt.
Everything costs more these days, even {food}.
"""

MONEY = Genre(
    name="money",
    who=values("who", WHO),
    what=values("what", WHAT),
    where=values("where", WHERE),
    ending=values("ending", ENDING),
    ask=asks(ASK),
    talk=lines(TALK),
)
