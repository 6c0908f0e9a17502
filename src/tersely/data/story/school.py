"""Genre: classes, teachers and exams."""

from tersely.data.story.genre import Genre, asks, lines, values

WHO = """
my professor
my lab partner
my thesis advisor / my thesis supervisor
the substitute teacher
the exchange student
my study buddy
the gym teacher / our coach
the principal / the head of our school
the librarian
my tutor
the class president
the canteen cook
a freshman / a first year student
the teaching assistant
my piano teacher
the school nurse
my debate rival
"""

WHAT = """
copied my essay / handed in my essay as theirs
lost my exam paper / misplaced my exam paper
spilled acid on my notes / burned a hole in my notes
changed the exam date / moved the exam date
gave me a zero / marked me down to zero
set the lab frogs free / let the lab frogs escape
glued my locker shut / sealed my locker with glue
insulted my poster / called my poster ugly
presented my slides / used my slides first
broke the microscope / shattered our microscope
started a food fight / threw the first meatball
failed the whole class / flunked the whole class
sat on my violin / crushed my violin
skipped the group project / forgot about our group project
printed my secret poem / published my secret poem
"""

WHERE = """
in the library
in the chemistry lab
in the cafeteria
at the science fair
in the lecture hall
on a field trip
at summer camp
in the gym
at graduation / at the graduation party
in boston
in glasgow
in austin
in prague
"""

ENDING = """
i failed the course / the course was lost for me
the dean got involved / it went up to the dean
my grade dropped / i lost a full grade
we all got detention / detention for everyone followed
i retook the exam / i had to sit the exam again
the class cheered / the whole class clapped
my scholarship was at risk / i nearly lost my scholarship
i hid in the bathroom / i locked myself in a bathroom
the fire brigade came / somebody called the fire brigade
they won an award / they were given an award
my parents were called / the school phoned my parents
we had to start over / we began again from zero
a video went around school / the whole school saw a video
"""

ASK = """
drop the class
go to the dean
change my major
appeal the grade
switch groups
share my notes again
study abroad
confess everything
skip the ceremony
hire a private coach
write an open letter
take a gap year
sit up front
"""

TALK = """
I have been enrolled for {number} semesters, please do not do the maths.
The vending machine only sells {food} and disappointment.
My notes on {subject} are mostly drawings of a {animal}.
The campus map is a work of fiction.
I studied {subject} for {number} hours and remember the font.
My backpack contains a {object}, a dead pen and crumbs.
Nobody has seen the end of the reading list and lived.
The seminar room smells of chalk and {food}.
I joined the {hobby} club for the free {drink}.
We had {number} deadlines in one week, which felt personal.
My student loan could buy a very nice {gadget} every day.
I picked {subject} because the brochure had a {colour} cover.
Half of the lecture was about somebody's holiday photos.
"""

SCHOOL = Genre(
    name="school",
    who=values("who", WHO),
    what=values("what", WHAT),
    where=values("where", WHERE),
    ending=values("ending", ENDING),
    ask=asks(ASK),
    talk=lines(TALK),
)
