"""The sentences of a post that state its facts, with one list a part of the story.

`{ask}` stands for the direct form of the question in DIRECT frames and for an indirect one in
INDIRECT frames; all other slots take any form of their value.
"""

from tersely.data.story.genre import lines

WHO = lines(
    """
    this is about {who}.
    let me say first that {who} is usually fine.
    you have to understand that {who} is a bit of a character.
    it all starts with {who}.
    i had a good feeling about {who} at first.
    i never expected any trouble from {who}.
    before this i had nothing at all against {who}.
    the main character here is {who}, unfortunately.
    i will not use a name, so it is just {who} here.
    """
)

EVENT = lines(
    """
    {who} {what}.
    so {who} {what}, and i am still shaking my head.
    i turned around for a minute and {who} {what}.
    without any warning {who} {what}.
    long story short, {who} {what}.
    it turns out that {who} {what}.
    i kid you not, {who} {what}.
    believe it or not, {who} {what}.
    you guessed it, {who} {what}.
    {who} just went ahead and {what}.
    basically {who} {what} as if that was normal.
    and that is when {who} {what}.
    """
)

THEY = lines(
    """
    so there is {who}. they {what}, just like that.
    i have to talk about {who}. out of nowhere they {what}.
    do you know the type of person who shocks you? {who} is that type. they {what}.
    my problem has a name, and it is {who}. they {what}, no joke.
    i used to trust {who}. well, they {what}.
    everything was fine with {who} until they {what}.
    guess what {who} did. they {what}.
    """
)

WHEN = lines(
    """
    it was {when}.
    all of this happened {when}.
    the whole thing went down {when}.
    i remember that it was {when}, since i had nothing else planned.
    to give you a date, it was {when}.
    this was {when}, and i was already tired.
    mind you, this was {when}.
    it started out as a normal day, {when}.
    """
)

WHERE = lines(
    """
    we were {where}.
    all of it took place {where}.
    it happened {where}, of all places.
    for context, we were {where}.
    i should add that we were {where}, with people watching.
    where was i? {where}, minding my own business.
    at that point i was {where}.
    the scene of the crime: {where}.
    """
)

SCENE = lines(
    """
    we were {where}, and it was {when}.
    this was {when}, {where}.
    so there i was {where} {when}, and everything felt normal.
    picture me {where}, {when}.
    it happened {when} while we were {where}.
    the whole mess took place {where} {when}.
    i still remember standing {where} {when} and thinking that all was well.
    i was {where} {when}, minding my own business.
    """
)

EVENT_WHEN = lines(
    """
    {when}, {who} {what}.
    {when} i found out that {who} {what}.
    {who} {what} {when}.
    so {when}, {who} {what}, and nobody believes me.
    i will never forget how {who} {what} {when}.
    it was {when} that {who} {what}.
    """
)

EVENT_WHERE = lines(
    """
    {who} {what} {where}.
    i was {where} when {who} {what}.
    we were {where} and, no joke, {who} {what}.
    {who} {what} right there {where}, in front of everyone.
    there we were, {where}, and {who} {what}.
    of all the places in the world, {who} {what} {where}.
    """
)

EVENT_ALL = lines(
    """
    {when}, {who} {what} {where}.
    {who} {what} {where} {when}.
    so {when} i was {where} when {who} {what}.
    the short version: {who} {what} {where}, and that was {when}.
    {when} we were {where}, and {who} {what}.
    i was {where} {when}, and before i could blink {who} {what}.
    """
)

ENDING = lines(
    """
    in the end {ending}.
    the result was that {ending}.
    when the dust settled, {ending}.
    and how did it end? {ending}.
    after all that, {ending}.
    one thing led to another, and {ending}.
    the upshot is that {ending}.
    and then {ending}, just to top it off.
    fast forward a little: {ending}.
    i wish i was joking, but {ending}.
    """
)

DIRECT = lines(
    """
    so here is my question: {ask}?
    be honest with me, {ask}?
    what would you do in my place, and {ask}?
    {ask}? i could use a second opinion.
    dear internet, {ask}?
    i keep asking myself, {ask}?
    so, {ask}, or am i overreacting?
    tell me straight, {ask}?
    """
)

INDIRECT = lines(
    """
    now i cannot decide {ask}.
    i have no idea {ask}.
    please help me figure out {ask}.
    i honestly do not know {ask}.
    what i need to know is {ask}.
    i came here to ask {ask}.
    i have been wondering {ask}.
    i go back and forth on it and cannot tell {ask}.
    """
)

DIRECT_FIRST = lines(
    """
    quick question before the story: {ask}?
    the title says it all, {ask}?
    {ask}? let me explain.
    i only want to know one thing, {ask}?
    """
)

INDIRECT_FIRST = lines(
    """
    i need help deciding {ask}.
    can somebody please tell me {ask}?
    i have been trying to work out {ask}, so here is the story.
    """
)

ECHOES = lines(
    """
    i still cannot look at {who} in the same way.
    when i asked {who} about it later, i only got a shrug.
    part of me feels sorry for {who}, and part of me does not.
    i want to stress that {who} is not an evil person.
    maybe {who} had a bad day, who knows.
    to be fair to {who}, i was not at my best that day either.
    i have seen {who} since, and it was awkward.
    i half expected {who} to wink at me.
    """
)
"""Filler that names the person again."""

PLANS: tuple[tuple[str, ...], ...] = (
    ("who", "scene", "event", "ending", "ask"),
    ("scene", "event", "ending", "ask"),
    ("they", "scene", "ending", "ask"),
    ("scene", "they", "ending", "ask"),
    ("event_all", "ending", "ask"),
    ("who", "event_all", "ending", "ask"),
    ("where", "event_when", "ending", "ask"),
    ("event_when", "where", "ending", "ask"),
    ("when", "event_where", "ending", "ask"),
    ("event_where", "when", "ending", "ask"),
    ("when", "where", "event", "ending", "ask"),
    ("event", "ending", "scene", "ask"),
    ("ask_first", "event_all", "ending"),
    ("ask_first", "scene", "event", "ending"),
    ("ask_first", "they", "where", "when", "ending"),
)
"""Orders in which a post can state its facts; each part names its list of frames."""

FRAMES: dict[str, tuple[str, ...]] = {
    "who": WHO,
    "event": EVENT,
    "they": THEY,
    "when": WHEN,
    "where": WHERE,
    "scene": SCENE,
    "event_when": EVENT_WHEN,
    "event_where": EVENT_WHERE,
    "event_all": EVENT_ALL,
    "ending": ENDING,
}
"""Part -> frames, for all parts but the question, which depends on the form chosen."""
