"""The plots of the story corpus: templates with choices ``[a|b]`` and slots ``{name}``.

Slots without a prefix belong to the hero, slots starting with ``f_`` to the friend. A plot's ``scenes`` bind slots
which have to agree with each other, for example a fear and the trick against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        lines: Templates of the sentences after the opening, in order.
        scenes: Alternative slot bindings; one is drawn per story.
        sky: Whether a sentence about the weather may follow the opening.
    """

    lines: tuple[str, ...]
    scenes: tuple[dict[str, str], ...] = field(default=({},))
    sky: bool = True


def rows(names: str, *values: str) -> tuple[dict[str, str], ...]:
    """Builds scenes from rows of cells which are separated by semicolons."""
    keys = names.split(";")
    return tuple(dict(zip(keys, (cell.strip() for cell in row.split(";")), strict=True)) for row in values)


LOST_THING = Plot(
    lines=(
        "{name} [had|owned] a {color} {toy}, and {he} [loved it very much|took it everywhere|never went out without "
        "it].",
        "[One day|One morning|One afternoon], {he} [went to|ran to|walked to] the {place} to play[| with {f_called}], "
        "but [when {he} came home, the {toy} was gone|suddenly the {toy} was gone|{he} could not find the {toy}].",
        '["Oh no! Where is my {toy}?" cried {name}.|{name} felt so sad that {he} began to cry.|{name} looked and '
        "looked, but the {toy} was not there.]",
        '{f_called} heard {him} and [came to help|wanted to help]. [{f_name} said, "Do not worry. We will look for it '
        'together."|"Let us look for it together," said {f_name}.|"I will help you," said {f_name}.]',
        "[They looked {spot}, but there was only [a sleepy snail|an empty shell|an old shoe|a round stone].|First "
        "they looked {spot}. Nothing was there.]",
        "[Then|At last|Just before sunset], {f_name} [saw something {color} {spot2}|found something {color} "
        "{spot2}|looked {spot2} and smiled]. It was the {toy}!",
        '[{name} hugged {f_name}|{name} jumped with joy|{name} was so happy] and said, "[Thank you, my friend|Thank '
        'you so much|You are the best friend ever]!"',
        "[From that day on, {name} always took good care of the {toy}.|After that, {name} always remembered where "
        "{he} put {his} things.|{name} learned that a good friend is worth more than any {toy}.|And {name} knew that "
        "with a friend, nothing is lost for long.]",
    ),
)

NEW_FRIEND = Plot(
    lines=(
        "{name} [was often lonely|had nobody to play with|wished for a friend], because [all the others were "
        "older|{he} was new there|{he} was too shy to speak].",
        "[One day|One morning], {he} went to the {place} and [met|saw] a {f_trait} {f_kind} [sitting {spot}|hiding "
        "{spot}|playing alone].",
        '["Hello, I am {name}. What is your name?" {he} asked.|"Hello," said {name} in a small voice. "Who are you?"]',
        '["My name is {f_name}," said the {f_kind}.|"I am {f_name}," the {f_kind} answered.] ["I have no one to play '
        'with."|"Do you want to play with me?"|"I am a little shy."]',
        "{name} [smiled and gave {f_him}|had brought|shared] {food}[, and they ate it together|, and they ate "
        "together in the sun].",
        "[Then|After that], they {game} until [the sun went down|it was time to go home|the stars came out].",
        '["Will you come back tomorrow?" asked {f_name}. "Of course," said {name}.|"This was the best day ever," said '
        "{f_name}.|]",
        "[From that day on, {name} and {f_name} were best friends.|{name} was not lonely anymore, because now {he} "
        "had a friend.|{name} learned that one kind word can begin a friendship.|Since then, they have played "
        "together every day.]",
    ),
    scenes=rows(
        "game",
        "played hide and seek",
        "jumped over puddles",
        "built a small house of sticks",
        "told each other funny stories",
        "rolled down the hill",
        "looked for round stones",
        "sang silly songs",
    ),
)

FEAR = Plot(
    lines=(
        "{name} was [not afraid of many things, but {he} was|always|very] afraid of {fear}.",
        "[One day|One evening], {moment}, [{he} hid under {his} blanket|{he} began to shake|{his} heart beat very "
        "fast].",
        '{His} {family} [sat down next to {him}|took {his} hand|came to {him}] and [asked|said softly], "[What is '
        'wrong|Why are you so quiet|What makes you so sad], {name}?" ["I am afraid of {fear}," {he} said.|"I am '
        'scared," whispered {name}.]',
        '"[I was afraid of {fear} too|Everyone is afraid of something]," said {his} {family}. "[But I know a '
        'trick|Let me tell you a secret]: {trick}."',
        "{name} [took a deep breath and tried it|tried it at once|was not sure, but {he} tried it].",
        "[At first it was hard, but then|Little by little,|Soon] {result}.",
        '[{name} laughed, because it was not so bad at all.|{name} felt proud and warm inside.|"I did it!" {name} '
        "called.|]",
        "[{name} learned that being brave means trying even when you are scared.|From that day on, {name} was not "
        "afraid of {fear} anymore.|And so {name} found out that {he} was braver than {he} thought.]",
    ),
    scenes=rows(
        "fear;moment;trick;result",
        "the dark;when the lamp went out;look for the stars;{he} saw a hundred little stars in the window",
        "thunder;when a big storm came;count until the thunder is gone;{he} counted to ten and the thunder "
        "was far away",
        "deep water;when the others went swimming;hold my hand and kick with your feet;{he} was swimming",
        "high places;when the others climbed the hill;look up and not down;{he} stood at the top and saw the "
        "whole valley",
        "the wind;when the wind howled around the house;sing along with the wind;{he} was singing louder than the wind",
        "shadows;when a big shadow fell on the wall;wave at it and it will wave back;the shadow waved back at {him}",
        "loud noises;when something went bang in the kitchen;listen and guess what it is;{he} knew it was only a pot",
    ),
    sky=False,
)

SHARING = Plot(
    lines=(
        "[One day|One morning], {his} {family} gave {him} {food}. [It smelled so good!|{name} was very hungry.|{name} "
        "could not wait to eat it.]",
        "{He} [went to the {place}|sat down {in_place}|found a nice spot {in_place}] [and wanted to eat it all "
        "alone|to eat it].",
        "Then {f_called} came by. {f_He} [looked tired and hungry|had not eaten all day|had a very sad face].",
        '"[May I have a little bit|Can I have some, please|Will you share with me]?" asked {f_name}.',
        "[At first {name} did not want to share. But then {he} [saw {f_his} sad eyes|thought about it|remembered how "
        'it feels to be hungry].|{name} thought for a moment.] ["Yes, sit down with me," {he} said.|"Come, there is '
        'enough for both of us," {he} said.]',
        "They [ate together and laughed|ate and talked about many things|shared everything], and it tasted [better "
        "than ever|wonderful|twice as good].",
        "[The next day|A few days later|Soon after], {f_name} [brought {him}|came back with|gave {him}] {gift}. "
        '"[This is for you, because you were kind|Now I want to share with you|Thank you for being so kind]," {f_he} '
        "said.",
        "[{name} learned that sharing makes everyone happy.|{name} was glad that {he} had shared.|And they both knew "
        "that food tastes best with a friend.|Since that day, {name} always shares with others.]",
    ),
    scenes=rows(
        "gift",
        "a shiny blue stone",
        "a bunch of wild flowers",
        "a soft gray feather",
        "a warm scarf",
        "a little wooden boat",
        "a cup of sweet tea",
        "a crown of daisies",
        "a handful of sweet berries",
    ),
)

GARDEN = Plot(
    lines=(
        "[One day|One spring morning|In spring], {name} found a [tiny|small|little round] seed {spot}.",
        '"What will it be?" {he} [wondered|asked]. {He} [dug a small hole and put the seed into the ground|planted it '
        "in the garden|put it into a pot with soft earth].",
        "Every day, {name} [gave it water|watered it] and [waited|sang to it|sat next to it]. But [nothing "
        "happened|there was nothing to see|the earth stayed brown].",
        '["Why does it not grow?" {name} asked {his} {family}.|{name} became impatient. "It will never grow!" {he} '
        'said to {his} {family}.] "[Good things need time|Wait a little longer|Be patient]," said {his} {family}.',
        "So {name} [waited and waited|waited a little longer|did not give up]. It rained, and then the sun came out "
        "again.",
        "[One morning|At last|Then one day], there was a [tiny|small] green leaf! [{name} danced around the "
        "garden.|{name} clapped with joy.|{name} could hardly believe it.]",
        "[In summer|After many weeks|Day by day, it grew, and in the end], there was {plant}.",
        "[{name} gave some of it to {f_called}, and they were both happy. |][{name} learned that good things take "
        "time.|{name} was glad that {he} had been patient.|And {name} knew that even a tiny seed can become something "
        "great.]",
    ),
    scenes=rows(
        "plant",
        "a big pumpkin",
        "a tall sunflower",
        "a bush full of roses",
        "a small apple tree",
        "a plant full of red tomatoes",
        "a row of sweet peas",
        "a bed of strawberries",
    ),
    sky=False,
)

BROKEN = Plot(
    lines=(
        "{name} and {f_called} were [good|best|old] friends. [They played together every day.|They did everything "
        "together.|]",
        "[One day|One afternoon], {f_name} [was playing with|borrowed|wanted to see] {name}'s {thing}. {f_He} was not "
        "careful, and {broke}.",
        '{name} was [very angry|very sad|so upset that {he} could not speak]. ["I do not want to play with you '
        'anymore!" {he} said and ran away.|{He} turned around and went home without a word.]',
        "{f_name} felt [terrible|very sorry|awful]. {f_He} [thought about it all night|sat {spot} and thought|did not "
        "know what to do].",
        'The next [day|morning], {f_he} [came to {name}|knocked on the door|went to {name}] and said, "I am '
        '[so|very|truly] sorry. {mend}."',
        "{name} [saw that {f_he} meant it|was quiet for a moment|looked at {f_him} for a long time]. Then {he} "
        '[smiled|nodded] and said, "[Let us do it together|I forgive you|You are my friend, and that is more '
        'important]."',
        "They worked [all day|all afternoon|side by side], and [in the end the {thing} was as good as new|soon the "
        "{thing} was even nicer than before].",
        "[{name} learned that forgiving feels better than being angry.|And both of them learned that saying sorry can "
        "mend more than a {thing}.|From that day on, {f_name} was always careful with other people's things.|After "
        "that, they were even better friends than before.]",
    ),
    scenes=rows(
        "thing;broke;mend",
        "kite;the kite tore;I have brought paper and glue",
        "wagon;a wheel came off;I have brought a new wheel",
        "wooden boat;the mast broke;I have made a new mast",
        "drum;{f_he} made a hole in it;I have found a new skin for it",
        "tea cup;it fell on the floor;I have brought some glue",
        "doll house;the roof fell off;I have brought wood and nails",
        "paper lantern;it fell into the mud;I have brought new paper",
        "swing;the rope broke;I have brought a strong rope",
    ),
)

RESCUE = Plot(
    lines=(
        "[One day|One morning|One rainy day], {name} was walking {near} when {he} heard a [small|tiny|sad] voice. "
        '"[Help|Please help me|Help me]!"',
        "{He} [looked around|followed the sound|ran to see] and saw {victim} {trouble}.",
        '"[Do not be afraid|Stay calm|Hold on]," said {name}. "I will help you!"',
        "{He} [tried and tried|pulled and pushed|tried with all {his} strength], but [{he} was too small|it was too "
        "hard|it did not work]. So {he} [ran to get|called] {f_called}.",
        "{f_name} [had a good idea|knew what to do|came at once]. Together, they {rescue}.",
        '"[Thank you, thank you|Thank you for saving me|You saved me]!" said the little {victim_kind}. "[I will never '
        'forget it|Now we are friends|I was so scared]."',
        "[That evening, they all [ate {food} together|sat together and told stories|laughed about the adventure]. "
        "|][{name} learned that asking for help is a clever thing to do.|{name} was happy, because together they were "
        "strong.|And {name} knew that even small ones can do big things.|From then on, the three of them were good "
        "friends.]",
    ),
    scenes=rows(
        "near;victim;victim_kind;trouble;rescue",
        "in the forest;a baby bird;bird;lying on the ground below its nest;climbed the tree and put the bird back",
        "by the river;a little beetle;beetle;floating on a leaf;held out a long stick and the beetle climbed on it",
        "in the meadow;a little lamb;lamb;stuck in the mud;put a rope around the lamb and pulled it out",
        "in the garden;a butterfly;butterfly;caught in a spider web;cut the web and set the butterfly free",
        "on the hill;a kitten;kitten;sitting high in a tree;put a ladder to the tree and carried the kitten down",
        "by the lake;a small fish;fish;lying on the dry sand;carried the fish back into the water",
        "in the woods;a young deer;deer;stuck between two trees;pushed the trees apart and the deer jumped free",
        "by the pond;a duckling;duckling;tangled in the grass;cut the grass and brought the duckling to its mother",
    ),
)

LEARNING = Plot(
    lines=(
        "{name} wanted to learn [how |]to {skill}. [All {his} friends could do it.|It looked so easy.|{He} dreamed "
        "about it every night.]",
        "[One day|On Monday|One morning], {he} went to the {place} and tried, but {fail}.",
        '["I will never learn it," {he} said sadly.|{name} wanted to give up.|Some of the others laughed, and {name} '
        "felt sad.]",
        '[{f_called} saw it and said, "|Then {f_called} came by and said, "][Try again. I will show you how|Do not '
        'give up. I fell many times too|Everyone has to practice]."',
        "So {name} [practiced every day|tried again and again|practiced a little every morning]. [On the second "
        "day|After some days], it went [a little|a bit] better.",
        "[And then, one day,|At last,|After a week,] {success}!",
        '["Look, I can {skill}!" {he} shouted, and {f_name} clapped.|{f_name} cheered and clapped.|{name} was so '
        "proud that {he} [danced|laughed] all the way home.]",
        "[{name} learned that you should never give up.|{name} knew now that practice makes everything easier.|From "
        'then on, {name} helped others who wanted to learn.|And whenever something was hard, {name} said, "I just '
        'have to try again."]',
    ),
    scenes=rows(
        "skill;fail;success",
        "swim;{he} swallowed a lot of water;{he} swam all the way across",
        "whistle;no sound came out;{he} whistled a whole song",
        "fly a kite;the kite fell down every time;the kite danced high in the sky",
        "dance;{he} fell over {his} own feet;{he} danced like a leaf in the wind",
        "skate;{he} slipped and fell;{he} skated in a big circle",
        "climb a tree;{he} slid down again and again;{he} sat on the highest branch",
        "bake bread;the bread was as hard as a stone;the bread was soft and golden",
        "play the flute;it sounded like an angry goose;{he} played a lovely song",
        "paint;the paper was one big brown spot;{he} painted a beautiful picture of the {place}",
        "jump rope;the rope caught {his} feet;{he} jumped twenty times",
    ),
)
