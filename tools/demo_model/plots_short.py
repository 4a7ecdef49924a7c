"""Short plots of the story corpus, with four to eight sentences."""

from __future__ import annotations

from plots import Plot, rows

HAT_IN_WIND = Plot(
    lines=(
        "[One day|One windy morning], the wind took {name}'s {color} hat and carried it [over the {place}|high into "
        "the air].",
        "{name} ran after it, but the wind was [faster|too fast]. [Up and down went the hat.|The hat flew like a "
        "bird.|]",
        '[At last|Then] it landed {where}. "[Look|Oh]!" said {f_called}. "Now it is {use}!"',
        "{name} laughed and [left it there|let it stay]. [The next day, {his} {family} made {him} a new one.|{He} did "
        "not need a hat to be happy.]",
        "[Sometimes a lost thing is a gift for someone else.|And {name} was glad to give something away.]",
    ),
    scenes=rows(
        "where;use",
        "in a tree, and a bird sat down in it;a nest",
        "on the pond, and a frog jumped into it;a boat",
        "on a scarecrow;a hat for the scarecrow",
        "in the grass, and a family of mice crept under it;a house",
    ),
    sky=False,
)

RAINY_DAY = Plot(
    lines=(
        '[One day|One morning], it rained and rained. {name} [looked out of the window and sighed|was bored]. "[What '
        'a boring day|Now I cannot go outside]," {he} said.',
        'Then {f_called} [came to visit|stood at the door] and said, "[Rain is fun|I have an idea]! {idea}!"',
        "So they [did it|did it together], and [they laughed a lot|it was a lot of fun|they forgot the time].",
        "[When the rain stopped, there was a rainbow over the {place}.|In the evening, the sun came out, but they did "
        "not even see it.]",
        '[{name} learned that every kind of weather can be fun.|From that day on, {name} loved rainy days.|"I hope it '
        'rains again tomorrow," said {name}.]',
    ),
    scenes=rows(
        "idea",
        "Let us jump into every puddle",
        "Let us build a cave of blankets",
        "Let us make paper boats",
        "Let us play music with pots and spoons",
        "Let us bake cookies",
        "Let us catch the rain in cups",
    ),
    sky=False,
)

BEDTIME = Plot(
    lines=(
        "[One night|One evening], {name} [could not fall asleep|was not tired at all]. {He} [turned left and "
        "right|counted to one hundred|looked at the ceiling].",
        '{His} {family} came and [sat down next to the bed|brought a cup of warm milk]. "[Close your eyes|Listen]," '
        '{family_he} [said|whispered]. "{thought}."',
        "{name} [listened and smiled|closed {his} eyes] and thought of [it|that].",
        "[Soon {his} eyes became heavy.|One, two, three, and {he} was asleep.|{He} yawned once and then once more.]",
        "[And in {his} dream, {he} [flew over the {place}|sailed to the moon|danced with the stars]. |][Good night, "
        "{name}!|And everything was quiet until the morning.|The moon looked through the window and smiled.]",
    ),
    scenes=rows(
        "thought",
        "Think of the best thing of the day",
        "Even the flowers are sleeping now",
        "The moon is watching over you",
        "Imagine a boat on a quiet lake",
        "All the birds are in their nests",
        "Tomorrow will be a wonderful day",
    ),
    sky=False,
)

SNOW = Plot(
    lines=(
        '[One winter morning|One morning in winter], everything was white with snow. "Let us build a snowman!" said '
        "{name} to {f_called}.",
        "They [rolled big balls of snow|worked all morning], but [they had no nose for the snowman|the snowman had no "
        "nose].",
        "[{f_name} found|{name} found|{f_name} came back with] {nose}. [Now he looked very funny.|It was the best "
        "nose of all.]",
        '[In the night, it was very cold, and {name} gave the snowman {his} {color} scarf.|"He looks lonely," said '
        "{name}. So they built a second one.]",
        "[In spring, the snowman was gone, but there was a flower in his place.|And the snowman smiled all winter "
        "long.|It was the best winter day ever.]",
    ),
    scenes=rows("nose", "a carrot", "a pine cone", "a red pepper", "a long potato", "an old spoon", "a crooked stick"),
    sky=False,
)

LITTLE_BOAT = Plot(
    lines=(
        "{name} [built|made] a [little|small] boat [out of wood|out of bark|with a {color} sail]. [It was not very "
        "big, but it was strong.|{He} was very proud of it.|]",
        "[One day|One morning], {he} sailed [down the river|across the lake] with {f_called}. They saw {sight}.",
        '[Suddenly|Then] the boat [got stuck in the reeds|began to rock|lost its sail]. "[Oh no!|What now?]" said '
        "{f_name}.",
        '"[Do not worry|We can do it]," said {name}. [They used their hands to row.|They pulled together until it was '
        "free.|They waited for the wind and sang a song.]",
        "[In the evening, they came home, tired and happy.|They came home late, but they had a great story to tell.]",
        "[The best adventures are the ones you share.|{name} knew that a good friend is the best crew.]",
    ),
    scenes=rows(
        "sight",
        "a family of swans",
        "a fish with silver scales",
        "a beaver who was building a dam",
        "three frogs on a leaf",
        "a castle on a hill",
        "an island full of flowers",
    ),
)

SMALL_HELP = Plot(
    lines=(
        "[One day|One afternoon], {name} [met|saw] {sage} who was carrying {load}. It was [very heavy|much too heavy].",
        '"[May I help you|Can I carry something]?" asked {name}. "[You are so small|That is kind of you, but it is a '
        'long way]," was the answer.',
        "But {name} [took one half|carried what {he} could], and they walked [slowly |]together [to the village|up "
        "the hill|through the {place}].",
        "[On the way, they told each other stories, and the way was not long at all.|It was hard, but {name} did not "
        "stop.]",
        '["Many thanks, {name}. You have a big heart."|"You are small, but your heart is big."] And {name} got {food} '
        "[as a present|for the way home].",
        "[{name} learned that nobody is too small to help.|{name} was happy all day, because helping feels good.]",
    ),
    scenes=rows(
        "load",
        "a big sack of flour",
        "a pile of wood",
        "two baskets full of apples",
        "a bag of potatoes",
        "a huge book",
        "a large bucket of water",
    ),
)

FAVORITE_COLOR = Plot(
    lines=(
        "{name} loved everything that was {color}. [{He} even had a {color} {toy}.|{He} only picked {color} flowers.]",
        '[One day|One morning], {he} took a pot of paint and said, "I will paint the whole {place} {color}!"',
        '"[But then we would not see {thing} anymore|What about {thing}]," said {f_called}. [{name} thought about '
        "it.|{name} put down the brush.]",
        "[Together they walked around and looked at all the colors.|{He} looked at the sky, the grass and the "
        'flowers.] "[You are right|It is true]," said {name}. "[The world is beautiful because it has many '
        'colors|Every color is needed]."',
        "[So {he} painted only {his} own door.|In the end, {he} painted a big rainbow.]",
        "[{name} learned that it is good when things are different.|And {name} was happy with the world as it is.]",
    ),
    scenes=rows("thing", "the apples", "the flowers", "the butterflies", "the rainbow", "the birds", "the fish"),
)

MARKET = Plot(
    lines=(
        "[One day|On Saturday], {his} {family} gave {name} a coin to buy {thing} [at the market|in the village].",
        'On the way, {he} met {f_called}, who [was crying|looked sad]. "{trouble}," said {f_name}.',
        '{name} [thought for a moment|looked at the coin] and gave {f_him} the coin. "[You need it more than I '
        'do|Take it]," {he} said.',
        "At home, {name} told {his} {family} [everything|what had happened]. {His} {family} was not angry [at all "
        "|]and [gave {him} a kiss|smiled].",
        "[In the evening, someone knocked at the door.|The next day, there was a knock at the door.] It was {f_name} "
        "with {food} [to say thank you|for everyone].",
        "[Kindness always finds its way back.|{name} learned that giving makes you rich.]",
    ),
    scenes=rows(
        "thing;trouble",
        "some bread;I lost my money and I am so hungry",
        "a bottle of milk;My shoes have holes and my feet are cold",
        "some eggs;My mother is ill and needs medicine",
        "a bag of flour;I dropped my basket and everything is broken",
        "some cheese;I want to take the boat home, but I have no coin",
    ),
)

SHORT_PLOTS = (
    HAT_IN_WIND,
    RAINY_DAY,
    BEDTIME,
    SNOW,
    LITTLE_BOAT,
    SMALL_HELP,
    FAVORITE_COLOR,
    MARKET,
)
