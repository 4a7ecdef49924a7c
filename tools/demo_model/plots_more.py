"""Further plots of the story corpus, and the list of all plots."""

from __future__ import annotations

from plots import BROKEN, FEAR, GARDEN, LEARNING, LOST_THING, NEW_FRIEND, RESCUE, SHARING, Plot, rows
from plots_short import SHORT_PLOTS

LOST_WAY = Plot(
    lines=(
        "[One day|One afternoon], {name} [followed|ran after] {lure} deep into the [forest|woods].",
        "{He} went farther and farther. [When {he} looked around|Suddenly], everything looked strange, and {he} did "
        "not know the way home.",
        "[It was getting dark.|The sun was going down.|The trees were tall and dark.] [{name} was scared|{name} felt "
        "very small|A tear ran down {his} face].",
        'Then {he} met {sage}. "[Are you lost, little one|Why are you crying|Where do you want to go]?" [asked the '
        "stranger|the stranger asked].",
        '"I [cannot find|do not know] the way home," said {name}. "{hint}," said the stranger.',
        "{name} [said thank you and did just that|thanked the stranger and tried it|wiped {his} eyes and did it].",
        "[Soon|After a while|Before long], {he} saw [the lights of {his} home|smoke from {his} own chimney|the place "
        "where {he} lived].",
        "{His} {family} [was waiting at the door|had been looking everywhere] and gave {him} a big hug[| and some hot "
        "soup].",
        "[{name} promised never to go so far alone again.|{name} learned to stay calm and to ask for help.|From that "
        "day on, {name} always told {his} {family} where {he} was going.]",
    ),
    scenes=rows(
        "lure;hint",
        "a yellow butterfly;Follow the stream and it will lead you home",
        "a shiny beetle;Look for the tall tower and walk toward it",
        "a floating feather;Listen for the evening bell and walk toward the sound",
        "a hopping frog;Smell the fresh bread and follow your nose",
        "a rolling ball;Look for the brightest star and follow it",
        "a red balloon;Go back the way you came and look for your own steps",
        "a singing bird;Walk down the hill until you see the bridge",
    ),
)

GIFT = Plot(
    lines=(
        "[It was almost|Tomorrow was|The next day was] {f_called}'s birthday, and {name} wanted to give {f_him} a "
        "present.",
        "But {name} [had no money|had only one small coin|had nothing to give]. {He} [looked in the shop, but "
        "everything cost too much|thought and thought|felt sad about it].",
        '{His} {family} said, "[The best gifts come from the heart|You can make something yourself|Think about what '
        '{f_name} likes best]."',
        "So {name} [took|found] {material} and [worked all night|worked very hard|began to work]. {He} made {present}.",
        "[At the party|The next day|On the birthday], [the other presents were big and bright|there were many big "
        "presents|all the others had brought big boxes], and {name} [was a little nervous|felt a bit shy].",
        "[{f_name} opened the gift and {f_his} eyes began to shine.|But when {f_name} opened {his} gift, {f_he} "
        'smiled.] "You made it yourself? [It is the best present of all|I love it|It is so beautiful]!" {f_he} said.',
        "[They hugged, and then they all ate cake.|Then they danced until the stars came out.|{name} was so happy "
        "that {he} began to sing.|]",
        "[{name} learned that a gift from the heart is the best gift.|And {f_name} kept the present for {f_his} whole "
        "life.|{name} knew now that love matters more than money.]",
    ),
    scenes=rows(
        "material;present",
        "some paper and paint;a picture of the two friends",
        "a piece of wood;a little wooden bird",
        "some yarn;a warm scarf with stripes",
        "many small shells;a necklace of shells",
        "flour, eggs and honey;a cake in the shape of a star",
        "old cloth and buttons;a funny little puppet",
        "some wire and feathers;a small dream catcher",
        "wild flowers and grass;a crown of flowers",
    ),
    sky=False,
)

STRANGE_SOUND = Plot(
    lines=(
        "[One night|Late one evening], {name} [could not sleep|woke up in the dark], because there was a strange "
        'sound. "{sound}!"',
        '["What is that?" {he} whispered.|"Is it a monster?" {he} thought.|{name} pulled the blanket over {his} head.]',
        "[{He} woke up {f_called}, who was staying for the night.|{f_called} was sleeping in the same room and woke "
        'up too.] "[Did you hear that?|Listen!|There is something outside,]" {name} [said|whispered].',
        '"[Let us go and look|We can look together|If we go together, we will not be scared]," said {f_name}.',
        "They [took a lamp|lit a candle|held hands] and [walked very slowly|went on tiptoe] toward the sound. "
        '"{sound}!" [It was even louder now.|Their hearts were beating fast.|]',
        "{name} [opened the door|looked around the corner|held up the light], and there was {source}!",
        "They [looked at each other and laughed|laughed so hard that they had to sit down|both began to laugh].",
        "Then they {solve} and went back to bed.",
        "[{name} learned that most scary things are small when you look at them.|From that day on, {name} was not so "
        "easily scared.|And that night, {name} slept better than ever.]",
    ),
    scenes=rows(
        "sound;source;solve",
        "Tap, tap, tap;a branch knocking on the window;tied the branch to the tree",
        "Hoo, hoo, hoo;a little owl on the fence;said good night to the owl",
        "Drip, drop, drip;an old bucket under a hole in the roof;put a cloth into the bucket",
        "Crunch, crunch;a hungry hedgehog with an apple;gave the hedgehog another apple",
        "Squeak, squeak;a mouse who was riding on the garden gate;gave the mouse some cheese",
        "Rattle, rattle;a kitten with its head in a tin can;helped the kitten out of the can",
        "Hum, hum, hum;a moth who was dancing around the lantern;opened the window for the moth",
    ),
    sky=False,
)

TEAMWORK = Plot(
    lines=(
        "[One day|One morning|In autumn], {name} [found|saw] {load} {where}. {He} wanted to [bring it home|take it to "
        "the village], but it was [much too heavy|so heavy that it did not move].",
        "{He} [pulled and pulled|pushed with all {his} strength|tried everything], but [nothing happened|it did not "
        "move at all].",
        '{f_called} came along. "[May I help you|What are you doing|Do you need help]?" {f_he} asked. [Together they '
        "pulled, but it was still too heavy.|They pulled together, but it only moved a little bit.]",
        "Then [a strong pony|a big brown cow|a friendly bear|a family of ducks] came and helped too. [It was not "
        "enough.|It moved a little more.]",
        'At last, a tiny [ant|mouse|ladybug] came. ["I can help," it said, and everyone laughed.|"You are too small," '
        'said {f_name}. But {name} said, "Everyone can help."]',
        '"One, two, three!" They all pulled at the same time, and [it moved|it began to roll|whoops, it came loose]!',
        "[In the evening|That night|Later], {feast}, and everyone [got a share|laughed and sang|was happy].",
        "[{name} learned that together we can do great things.|And from that day on, nobody laughed at the little "
        "one.|{name} knew that even the smallest help can make the difference.]",
    ),
    scenes=rows(
        "load;where;feast",
        "a giant pumpkin;in the field;they cooked a big pot of pumpkin soup",
        "a very big turnip;in the garden;they baked a turnip pie",
        "a huge log;in the forest;they made a warm fire with the log",
        "a wagon full of apples;in the mud;they made apple cake",
        "a big old boat;on the beach;they sat in the boat and ate cookies",
        "a heavy barrel of honey;by the road;they ate honey bread",
    ),
)

TRUTH = Plot(
    lines=(
        "[One day|One afternoon], {name} was alone [in the kitchen|at home], and {temptation}.",
        "{He} only wanted to [look|touch it a little], but then {mishap}.",
        "{name} was [frightened|very worried|ashamed] and [hid {spot}|ran outside|went away very quietly].",
        'Later, {his} {family} [came home|saw it] and asked, "Who did this?" [{name} looked at the floor.|{name} '
        "wanted to say that it was the [wind|cat].|{name} did not say a word.]",
        "[But the lie felt like a stone in {his} stomach.|But {he} could not sleep that night.|But {his} heart felt "
        "heavy.]",
        '[At last|In the end|The next morning], {he} said, "It was me. I am [so|very] sorry."',
        '{His} {family} [was quiet for a moment|looked at {him}] and then [hugged {him}|smiled]. "[Thank you for '
        'telling the truth|It takes courage to tell the truth|I am proud that you told me]," {family_he} said. "[Now '
        'we can {repair} together|Let us {repair} together]."',
        "[{name} felt as light as a feather.|So they worked side by side, and {name} felt much better.|]",
        "[{name} learned that the truth makes the heart light.|From that day on, {name} always told the truth.|And "
        "{name} never forgot that being honest is better than hiding.]",
    ),
    scenes=rows(
        "temptation;mishap;repair",
        "there was a fresh cake on the table;half of the cake was gone;bake a new cake",
        "a beautiful vase stood on the shelf;the vase fell down and broke;glue the vase",
        "there was a pot of blue paint;the paint ran all over the floor;clean the floor",
        "a jar of jam stood on the shelf;the jar was empty;cook new jam",
        "there was a big bag of flour;the whole room was white;sweep the floor",
        "a clock was ticking on the wall;the clock stopped and did not tick anymore;mend the clock",
    ),
    sky=False,
)

FALLEN_LIGHT = Plot(
    lines=(
        "[One night|One clear night|Late one evening], {name} [looked at the sky|sat {in_place}|was on the way home] "
        "and saw {light} [fall|drop] down {spot}.",
        "{He} ran there and found it in the grass. [It was very small and very sad.|Its light was weak.|It was cold "
        "and it was crying.]",
        '"I [fell down|lost my way], and now I cannot get home," it said. "[Please help me.|Will you help me?|I am so '
        'far from my family.]"',
        '{name} [took it gently in {his} hands|warmed it in {his} hat|held it close] and thought. ["We must climb up '
        'high," said {f_called}.|"I know who can help," {he} said and called {f_called}.|Then {f_called} had an idea.]',
        "[Together they climbed to the top of the [highest hill|tallest tree|old tower].|They walked all night, up "
        "and up, to the top of the mountain.]",
        '"Ready?" asked {f_name}. {name} [lifted {his} hands|stood on {f_his} shoulders|blew very softly], and the '
        "little light [rose up and up|flew into the sky].",
        "[Soon it was shining brighter than all the others.|It turned around once and twinkled at them.]",
        "[Every night since then, it has twinkled just for {name}.|And when {name} feels sad, {he} looks at the sky "
        "and smiles.|{name} learned that helping others makes the whole world brighter.]",
    ),
    scenes=rows(
        "light",
        "a little star",
        "a tiny light",
        "a small golden star",
        "a piece of moonlight",
        "a lost firefly",
        "a bright silver spark",
    ),
    sky=False,
)

STORM = Plot(
    lines=(
        "[One day|One night|In winter], a big storm came. [The wind blew and the rain fell.|It blew and roared all "
        "night.|It was loud and dark outside.]",
        "In the morning, {name} went outside and saw that {f_called}'s home [was gone|was broken|had lost its roof].",
        '["Now I have no place to sleep," said {f_name} with tears in {f_his} eyes.|{f_name} was sitting {spot} and '
        "was cold and wet.]",
        '"You can stay with me," said {name}. {He} gave {f_him} [a dry blanket|a warm coat] and [a cup of hot tea|a '
        "bowl of soup|{food}].",
        "[The next day|After that|When the sun came back], {name} went to all the neighbors and [asked for help|told "
        "them what had happened].",
        "The [rabbits|mice|squirrels] brought [straw|sticks|moss], the [beavers|bears|badgers] brought wood, and "
        "{name} brought [a hammer|nails|a long rope].",
        "They worked [for three days|from morning until evening|until the moon came out], and then the new home was "
        "ready. It was [even nicer|stronger|warmer] than the old one.",
        '"[I do not know how to thank you|You are good friends]," said {f_name}. [Then they had a big feast.|Then '
        "they all danced around the fire.|]",
        "[{name} learned that after every storm, friends help the sun come back.|And everyone remembered that "
        "neighbors should help each other.|From that day on, {f_name}'s door was always open for everyone.]",
    ),
    sky=False,
)

BOAST = Plot(
    lines=(
        '{name} was very [fast|quick] and liked to [boast|talk] about it. "Nobody is faster than me!" {he} [said '
        "every day|told everyone].",
        '[One day|One morning], {f_called} said, "Let us have a race to the [old mill|big tree|bridge]." {name} '
        "laughed, because {f_name} was [very slow|so small].",
        "They started to run. {name} was soon far ahead, and {he} [stopped to eat {food}|lay down for a little "
        "sleep|stopped to look at the flowers].",
        "{f_name} [walked step by step|went on and on] and did not stop.",
        "When {name} [looked up|woke up|remembered the race], it was too late. {f_name} was already at the "
        "[end|finish], and everyone cheered.",
        '{name} was [ashamed|very quiet]. "You won," {he} said. "[I should not have boasted|You never gave up|I am '
        'sorry that I laughed]."',
        '{f_name} smiled and said, "[Let us run the next race together|It was fun to run with you|Come, let us share '
        'my prize]."',
        "[{name} learned that slow and steady can win.|From that day on, {name} did not boast anymore.|And {name} "
        "never laughed at others again.]",
    ),
)

PLOTS = (
    LOST_THING,
    NEW_FRIEND,
    FEAR,
    SHARING,
    GARDEN,
    BROKEN,
    RESCUE,
    LEARNING,
    LOST_WAY,
    GIFT,
    STRANGE_SOUND,
    TEAMWORK,
    TRUTH,
    FALLEN_LIGHT,
    STORM,
    BOAST,
    *SHORT_PLOTS,
)
