"""Word lists for the small talk: none of these words states a fact."""

from tersely.data.story.genre import lines

_LISTS = """
food: lasagna, dumplings, ramen, tacos, porridge, lentil soup, pancakes, risotto, pickles, waffles
food: goulash, sushi, curry, meatloaf, hummus, gnocchi, pretzels, blueberry muffins, chili
food: cheesecake, popcorn, falafel, scrambled eggs, mashed potatoes, garlic bread, cold pizza
drink: coffee, oat milk, ginger tea, lemonade, cocoa, cider, kombucha, espresso, tap water
drink: root beer, tomato juice, chamomile, buttermilk, cranberry juice, mineral water
weather: drizzle, hail, fog, sleet, thunder, frost, snow, humidity, wind, slush, mist, lightning
hobby: knitting, birdwatching, pottery, chess, origami, fencing, gardening, archery, baking
hobby: juggling, calligraphy, climbing, whittling, stargazing, beekeeping, crochet, skateboarding
hobby: sudoku, yoga, puppetry, foraging, woodworking, improv, photography, falconry
gadget: toaster, laptop, blender, printer, router, air fryer, vacuum, microwave, keyboard
gadget: projector, radio, speaker, kettle, calculator, drone, tablet, alarm clock, dishwasher
gadget: smartwatch, flashlight, hairdryer, typewriter, scanner
animal: squirrel, pigeon, raccoon, hedgehog, seagull, moth, beetle, owl, fox, spider, bat, snail
animal: wasp, crow, gecko, badger, walrus, otter, pelican, lobster, hippo, turtle, moose
show: a cooking contest, a nature documentary, old cartoons, a crime podcast, a baking show
show: a quiz show, a space opera, a courtroom drama, a soap from the eighties, a chess stream
show: a silent film, a sumo tournament, a puppet series, a survival show, a weather channel
colour: teal, purple, beige, maroon, turquoise, mustard, silver, crimson, lavender, khaki, grey
number: three, four, five, seven, eight, nine, eleven, twelve, fourteen, sixteen, nineteen
mood: furious, confused, exhausted, numb, amused, embarrassed, restless, jealous, hopeful
mood: grumpy, stunned, guilty, calm, anxious, nostalgic, petty, sleepy, bewildered, ashamed
mood: relieved, dizzy, cranky, lonely, speechless, giddy, worried, tense, bitter, philosophical
job: dentist, electrician, baker, translator, carpenter, florist, programmer, chemist, paramedic
job: barista, welder, archivist, tailor, locksmith, surveyor, geologist, mechanic, magician
job: lifeguard, notary, optician, sailor, referee, composer, butcher, astronaut, detective
object: umbrella, candle, spoon, stapler, ladder, blanket, bucket, lamp, backpack, mirror, puzzle
object: trophy, teapot, scarf, hammer, tambourine, helmet, pillow, compass, magnet, harmonica
object: suitcase, whistle, notebook, wig, kite, shovel, raincoat, snow globe, cushion, banjo
furniture: sofa, armchair, bookshelf, wardrobe, mattress, stool, dresser, hammock, desk, bench
sport: badminton, rugby, hockey, curling, volleyball, rowing, cricket, lacrosse, darts, bowling
plant: cactus, fern, orchid, tulip, sunflower, bonsai, palm tree, rose bush, tomato plant, daisy
body: knee, elbow, jaw, shoulder, ankle, wrist, neck, forehead, thumb, hip, eyelid, nose
music: sea shanties, polka, jazz, techno, disco, opera, bluegrass, reggae, lullabies, swing
music: heavy metal, gospel, yodelling, whale songs, show tunes, ragtime
subject: geometry, physics, latin, accounting, philosophy, botany, statistics, grammar
subject: astronomy, economics, anatomy, chemistry, mythology, logic, history, linguistics
relation: dentist, barber, therapist, chiropractor, doctor, pharmacist, yoga teacher, optician
"""


def _read() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in lines(_LISTS):
        name, words = line.split(": ")
        found[name] = (*found.get(name, ()), *words.split(", "))
    return found


WORDS: dict[str, tuple[str, ...]] = _read()
"""Slot name in a sentence template -> the words that can fill it."""
