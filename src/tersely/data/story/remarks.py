"""Small talk for any genre: feelings, asides to the reader, first and last words."""

from tersely.data.story.genre import lines

HELLOS = lines(
    """
    Throwaway account, because people I know read this forum.
    Long time reader, first time poster, please be gentle.
    Sorry for the wall of text, I type fast when I am {mood}.
    Sorry in advance for the formatting, I am writing this on my {gadget}.
    English is my third language, so forgive the odd mistake.
    Hello everyone, I hope this is the right place for it.
    I never thought that I would write one of these posts.
    Okay, deep breath, here goes.
    This is going to sound made up, but I promise it is not.
    Names are left out because I still have some dignity.
    I am {mood} and need strangers to weigh in.
    My {relation} told me to write it all down, so here we are.
    I have been putting this off, but I need advice.
    Get some {drink} first, this one is a ride.
    Small problem in the grand scheme of things, huge in my head.
    I am typing this with {food} in one hand, so bear with me.
    """
)

REMARKS = lines(
    """
    I know it sounds silly, but it really got to me.
    I felt {mood} and {mood} at the same time, if that is possible.
    I was {mood} for the rest of the day.
    I am not even angry, I am just {mood}.
    I wish I could say that I stayed calm.
    I laughed at first, because I thought it was a prank.
    I stood there like a statue and said nothing.
    My heart was beating like a drum machine.
    My voice went up about {number} octaves.
    I had tears in my eyes, and I am not sure which kind.
    I tried to be the bigger person, and that lasted a minute.
    I said a word that I will not repeat here.
    You had to be there, I suppose.
    I can already hear you typing that I should have known better.
    Yes, I know, there were signs.
    No, I did not plan any of this.
    Please do not tell me to just get over it.
    Some of you will call me dramatic, and that is fair.
    If you have read this far, you deserve some {food}.
    Bear with me, it gets stranger.
    I swear on my {plant} that every word is true.
    For the record, I had not had a drop to drink except {drink}.
    I am usually the calm one, ask anybody.
    I do not like conflict, and I would rather eat my {object}.
    I have replayed it in my head about {number} hundred times.
    Everyone I ask has a different opinion, and that is no help.
    Half of my friends say it is funny, the other half went quiet.
    My {relation} laughed for a solid minute when I explained it.
    One friend offered me {drink} and another offered me legal advice.
    Maybe I am too sensitive, maybe I am not sensitive enough.
    I keep switching between {mood} and {mood}.
    It is not about the thing itself, it is about respect.
    I do realise that there are bigger problems in the world.
    It felt like a scene from {show}, only with worse lighting.
    If this were a film, I would have walked out.
    I would give it two stars, and one of them is for the {food}.
    There was a silence so long that you could hear the {gadget}.
    People keep asking me about it, and I run out of polite answers.
    I have not told the whole story to anyone until now.
    I am still finding out new details, and none of them are good.
    I took a screenshot of my own face, that is how odd I looked.
    I thought I was done with this sort of thing at my age.
    Honestly, I should have stayed in bed.
    In hindsight I could have handled my part better.
    I did raise my voice, and I am not proud of it.
    I have apologised for my tone, though not for my opinion.
    My sense of humour is broken, please send a new one.
    I wrote a speech about it and delivered it to a {plant}.
    I looked for advice in a book about {subject} and found none.
    There is a lesson here, but I have not found it yet.
    On the bright side, I finally see the point of {show}.
    On the other hand, nobody was bored.
    Fair is fair, I have done stupid things too.
    I once broke a {object} and blamed a {animal}, so I am no saint.
    Trust takes ages to build and about {number} seconds to lose.
    I believe in second chances, but I also believe in {hobby}.
    It is the little things that drive you up the wall.
    My stomach turned as if I had eaten old {food}.
    I slept badly and dreamt of a {colour} {animal}.
    I do not want revenge, I just want a quiet life.
    Some days I find it hilarious, other days I feel {mood}.
    I tried to talk about {sport} instead, but nobody took the bait.
    We had a polite chat about {food} and ignored the obvious.
    I smiled so hard that my {body} hurt.
    Words failed me, which does not happen often.
    I am writing this down mostly to feel less {mood}.
    A wise person would have left right there, but I am not that wise.
    Nobody warned me that being an adult would be like this.
    """
)

GOODBYES = lines(
    """
    Thanks for reading all of this.
    Edit: wow, I did not expect so many replies.
    Edit: spelling, because my {gadget} hates me.
    Update: I had some {food} and feel a bit better.
    Be kind, it has been a {mood} week.
    Any advice is welcome, even the harsh kind.
    Thank you, kind strangers, I owe you {food}.
    I will answer comments after {sport} practice.
    Sorry that this got so long.
    Please keep it civil in the comments.
    That is all, back to {hobby} for me.
    Wish me luck, I will need it.
    Right, I am off to hug a {plant}.
    Edit: yes, the {animal} is fine, thanks for asking.
    """
)
