"""Word lists of the generated world: names are built from syllables, events from topics."""

from dataclasses import dataclass
from itertools import product

PLACES: tuple[str, ...] = tuple(
    start + end
    for start, end in product(
        "Vel Tar Brin Osk Mar Lun Dra Fen Hal Kes Nor Pel Rav Sol Ther Wen".split(),
        "mora wick stad holm ford dale bury gate more ness port vale".split(),
    )
)
FIRST_NAMES: tuple[str, ...] = tuple(
    "Ada Bram Cora Dov Elin Finn Greta Hugo Ines Jory Kaia Leif Mina Nils Orla Pim Quin Rhea Soren "
    "Tilda Ugo Vera Wyn Xenia Yara Zeb Alma Boris Celia Davor Edda Fritz Gilda Hanno Iris Jonas Katya "
    "Lorenz Maud Noor".split()
)
SURNAMES: tuple[str, ...] = tuple(
    start + end
    for start, end in product(
        "Bal Cor Den Eld Far Gor Hess Jar Kol Lam Mun Nev Orm Pas Quil Ros Sten Tov Ulm Wex".split(),
        "ander berg din elius feld itz kova lund mann ovic rell sen".split(),
    )
)
DAYS: tuple[str, ...] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# What a writer adds from nowhere: none of it can be told from the text.
EPITHETS: tuple[str, ...] = tuple(
    "bashful bitter blazing blunt bold brave brazen breezy brisk brittle broken bronze bumpy burning "
    "candid careful chilly civil clever cloudy cobalt cosmic costly crimson crooked crystal curious "
    "curly dapper daring dashing dim distant docile dreamy drowsy dusty faded faint feral fervent "
    "fickle fierce floral foggy fragile frantic frosty frozen frugal fuzzy gallant gentle ghostly "
    "giant gilded glassy gloomy golden graceful grand grim grumpy hasty hazy hidden hollow humble "
    "jagged jolly jovial jumpy keen lavish lazy leafy lilac limber liquid lively lofty lonely loud "
    "lucid lucky lumpy lunar magnetic marble meek mellow merry mighty misty modest molten murky muted "
    "mystic narrow nifty nimble noble pale patient peppery placid plucky plush polar polite proud "
    "pungent purple quaint quiet quirky radiant ragged rapid rare regal restless rigid ripe robust "
    "rosy rowdy royal rugged rustic rusty sable sacred salty savage scarlet scruffy secret serene "
    "shabby shallow sharp shiny silent silken silver sleek sleepy slender sly smoky snowy sober solar "
    "solemn sombre spare spicy spiral spry stark steady steep stern stormy stout sturdy subtle sudden "
    "sullen sunny swift tame tangy tender tepid thorny thrifty tidy timid tiny tranquil twisted "
    "vacant vague vast velvet violet vivid wary weary weird wicked wild windy wise witty woolly woven "
    "zesty".split()
)
FIGURES: tuple[str, ...] = tuple(
    "acorn alibi anchor anthem anvil apple arrow atlas badger ballad bandit banner barrel basin "
    "beacon beetle bell bishop blanket blossom bonfire bottle boulder breeze bubble bucket buffalo "
    "button cactus camel candle canyon carnival castle cavern cello chapel charm cherry chimney "
    "cipher circus clover cobra comet compass coral cradle crater cricket crown curtain cyclone "
    "dagger dancer desert diamond dice dolphin dragon drummer eagle echo eclipse ember engine falcon "
    "feather fiddle flame flute fossil fountain fox galaxy gambler garland ghost glacier goblet goose "
    "granite gravel hammer harp harvest hawk hermit heron horizon hornet iceberg island jackal jester "
    "jewel jigsaw juggler jungle kettle kite knight ladder lagoon lantern lemon leopard lion lizard "
    "lobster locket lotus magnet magpie mammoth mango maze meadow meteor mirage mirror monk monsoon "
    "mosaic moth mule nectar needle nomad oasis ocean octopus onion opal oracle orchid otter owl "
    "oyster panther parade parrot peacock pebble pendulum phantom pigeon pilgrim pillow pirate planet "
    "plum pony prophet pumpkin puzzle pyramid python rabbit raven rebel reef riddle robin rocket "
    "saddle saffron sailor sapphire scorpion shadow shark shepherd sparrow sphinx spider squirrel "
    "statue sunset swallow swan tempest thistle thunder tiger torch tornado tulip tunnel turtle "
    "twilight umbrella unicorn vampire violin viper volcano vulture walrus whale whisper willow "
    "wizard wolf zebra".split()
)


@dataclass(frozen=True)
class Event:
    """Something that happens: how the text tells it, and five ways to put it in a headline.

    Args:
        told: The verb of the text, in the past tense.
        headlines: The headline verbs, one per voice of a writer.
    """

    told: str
    headlines: tuple[str, str, str, str, str]


def _event(told: str, headlines: str) -> Event:
    plain, lively, formal, terse, loose = headlines.split()
    return Event(told, (plain, lively, formal, terse, loose))


APPROVED = _event("approved", "approves backs endorses clears okays")
REJECTED = _event("rejected", "rejects blasts declines axes snubs")
OPENED = _event("opened", "opens unveils inaugurates starts debuts")
CLOSED = _event("closed", "closes shutters suspends shuts ditches")
DELAYED = _event("delayed", "delays stalls postpones slows fumbles")
PRAISED = _event("praised", "praises adores commends lauds loves")
BOUGHT = _event("bought", "buys snaps acquires takes grabs")
REPAIRED = _event("repaired", "repairs rescues restores fixes mends")
TESTED = _event("tested", "tests probes examines tries pokes")
LOST = _event("lost", "loses squanders forfeits drops fluffs")
STUDIED = _event("studied", "studies decodes surveys maps eyes")
PLANNED = _event("planned", "plans dreams proposes plots floats")


@dataclass(frozen=True)
class Topic:
    """A field of the news: who acts, on what, and what is said about it.

    Args:
        bodies: Second words of organisations' names.
        roles: What the person quoted does.
        objects: What the events happen to.
        events: What happens.
        asides: What is said, as the end of a sentence.
    """

    bodies: tuple[str, ...]
    roles: tuple[str, ...]
    objects: tuple[str, ...]
    events: tuple[Event, ...]
    asides: tuple[str, ...]


def _topic(bodies: str, roles: str, objects: str, events: tuple[Event, ...], asides: str) -> Topic:
    said = tuple(asides.split(" / "))
    return Topic(tuple(bodies.split()), tuple(roles.split()), tuple(objects.split()), events, said)


TOPICS: tuple[Topic, ...] = (
    _topic(
        "Council Assembly Senate Ministry",
        "mayor clerk senator delegate",
        "budget treaty statute tariff charter subsidy petition census ballot levy",
        (APPROVED, REJECTED, DELAYED, PLANNED),
        "the vote was close / the debate ran past midnight / voters want a say / the law is clear",
    ),
    _topic(
        "Railway Harbour Airways Transit",
        "driver pilot engineer conductor",
        "bridge tram ferry station runway viaduct depot timetable crossing locomotive",
        (OPENED, CLOSED, DELAYED, REPAIRED),
        "travellers lost an hour / the tracks are sound / fares stay the same / the queue was long",
    ),
    _topic(
        "United Rovers Athletic Wanderers",
        "coach keeper captain referee",
        "final trophy stadium striker derby league transfer relay marathon penalty",
        (LOST, PRAISED, BOUGHT, PLANNED),
        "the crowd sang on / the legs were tired / the score flattered them / practice starts early",
    ),
    _topic(
        "Kitchen Bakery Vineyard Brewery",
        "chef baker grocer critic",
        "menu recipe stew cider pastry orchard cheese banquet noodle chutney",
        (PRAISED, REJECTED, TESTED, OPENED),
        "the sauce was thin / the tables were full / it tastes of smoke / the bill was fair",
    ),
    _topic(
        "Institute Laboratory Observatory University",
        "chemist doctor professor biologist",
        "vaccine telescope genome reactor satellite theory enzyme sensor mineral vessel",
        (STUDIED, TESTED, APPROVED, DELAYED),
        "the sample was small / the data are open / more trials follow / the result surprised peers",
    ),
    _topic(
        "Theatre Orchestra Gallery Museum",
        "painter singer actor curator",
        "opera sculpture novel symphony exhibit ballet fresco sonnet drama portrait",
        (PRAISED, OPENED, BOUGHT, CLOSED),
        "the hall was hushed / the seats were sold / the colours glow / the second act drags",
    ),
    _topic(
        "Bank Holdings Motors Textiles",
        "broker banker founder auditor",
        "merger factory pension loan patent warehouse dividend contract mine forecast",
        (BOUGHT, REJECTED, PLANNED, CLOSED),
        "the shares fell / profits doubled / the deal is dear / jobs are safe",
    ),
    _topic(
        "Reserve Park Forestry Trust",
        "ranger farmer warden botanist",
        "wetland river forest dam meadowland herd beach reservoir glade quarry",
        (REPAIRED, STUDIED, LOST, APPROVED),
        "the water rose / the birds are back / the soil is dry / the storm did harm",
    ),
)
