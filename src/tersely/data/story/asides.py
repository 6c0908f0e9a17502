"""Small talk for any genre: the day before it went wrong, and how the author copes since."""

from tersely.data.story.genre import lines

BEFORE = lines(
    """
    I had {food} for breakfast and already felt {mood} before noon.
    I was making {food} while I typed the first draft of this.
    There was {weather} outside, so everybody was a little {mood}.
    The {weather} had been going on for {number} days by then.
    My phone was at {number} percent and my {gadget} was dead.
    I should mention that I am into {hobby}, so I have patience.
    I took up {hobby} a while back to deal with stress.
    In the background somebody was watching {show} at full volume.
    A {animal} was staring at us through the window, I swear.
    I remember a {animal} walking past as if nothing mattered.
    My {gadget} had been making a strange noise all day.
    I had just spent a small fortune on a {colour} {gadget}.
    I was wearing my {colour} socks, the lucky ones, for what it is worth.
    I was carrying a {object} and a bag of {food}, so my hands were full.
    Somebody had left a {object} lying around, and I nearly fell over it.
    My {body} was already hurting from {sport} practice.
    I pulled something in my {body} and could not even dance it off.
    I play {sport} with {number} friends and we lose every match.
    We were supposed to go to {sport} afterwards, but that was cancelled.
    Somebody was playing {music}, which made it feel even more absurd.
    I was holding a cup of {drink} and spilled half of it.
    I am a {job} by training, so drama is not really my field.
    I once wanted to be a {job}, and some days I still do.
    I work long shifts as a {job} and I was already {mood}.
    The radio said {weather}, the sky said otherwise.
    My {furniture} broke that week too, but that is another story.
    I bought a used {furniture} and carried it home on my own.
    I was thinking about {food} the whole time, to be honest.
    The lights flickered, because of course they did.
    My shoelace snapped, which should have been a sign.
    I had a headache the size of a {furniture}.
    My calendar said relax in {colour} letters.
    Somebody offered me {food}, and I said yes, because I have no pride.
    There were {number} of us and only one {object}.
    I dropped my {object}, picked it up and dropped it again.
    I keep a {object} in my bag for luck, so much for that.
    The bus was late, the {gadget} was broken and I was {mood}.
    It smelled like {drink} and wet {animal} all day.
    I met a {job} in the queue who said I looked {mood}.
    I checked the forecast, and it was {weather} all week.
    My glasses were foggy from the {weather}.
    I had a {colour} stain on my shirt and did not notice for hours.
    I was halfway through {show} and now I will never find out who won.
    We had run out of {drink}, which set the tone.
    I had saved the last bit of {food} for later, and later never came.
    My alarm played {music} at six, so I was wide awake.
    I own exactly one {object}, and it is {colour}.
    I ordered {food} and got somebody else's {food} instead.
    I had promised myself a quiet week with {show} and {drink}.
    The wifi went down, so I had to sit with my feelings.
    Somewhere a {gadget} was beeping, and nobody knew why.
    I grew up in a house with {number} clocks, and none of them agreed.
    I had trained for {sport} all week and could hardly lift a {object}.
    A stranger gave me a {object} and walked off, which is unrelated but odd.
    It was the kind of day on which even the {animal} looked {mood}.
    I wanted to read a book about {subject} and be left alone.
    I had planned to repaint the {furniture} in {colour}, just for fun.
    My neighbourhood has {number} bakeries and not one good {job}.
    I broke a nail, a {object} and a promise in one hour.
    """
)

SINCE = lines(
    """
    My {relation} says I should try {hobby} instead of worrying.
    My {relation} thinks I worry too much about everything.
    I have watched {show} {number} times to calm down.
    I hum {music} when I am {mood}, and I was humming a lot.
    I had {drink} and a long think about my choices.
    I have not slept much, and {drink} is all that keeps me going.
    For dinner I had {food} straight out of the pot.
    I stress baked {number} trays of {food} and ate most of them.
    My {plant} is dying too, so it has been quite a season.
    I water my {plant} and pretend that I have things under control.
    I can still smell the {food} when I think about it.
    I tried meditation, but a {animal} kept making noise outside.
    I wrote everything down in a {colour} notebook.
    I counted to {number} and it did not help.
    I have {number} unread messages and zero energy.
    I am learning {subject} online, and even that was easier to follow.
    I nearly failed {subject} once, but this felt harder.
    I have a degree in {subject}, not in people.
    A {job} I know once told me that everything passes.
    I fixed the {gadget} with tape, and I am a little proud of it.
    The neighbourhood {animal} has seen me at my worst.
    I practise {hobby} every evening, badly, but with love.
    My {hobby} group has heard this story {number} times already.
    My {hobby} teacher told me to breathe, so I am breathing.
    I spent an hour looking for my {object}, which was in my hand.
    A friend of mine is a {job} and was no help at all.
    I have a {body} that clicks whenever I am {mood}.
    I took a long walk in the {weather} to clear my head.
    I cleaned the whole bathroom twice, which is how I cope.
    I reorganised my spice rack and felt {mood} again.
    I sold a {object} last minute just to feel productive.
    I keep hearing {music} in my head, and that is not a good sign.
    I made a list of pros and cons and then drew a {animal} on it.
    I eat when I am {mood}, so there went the {food}.
    There is a {plant} on my desk that has seen it all.
    """
)
