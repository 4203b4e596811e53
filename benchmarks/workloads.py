"""Texts to embed: English sentences, made from a seed, so that every run on every machine reads the same.

Knows words and lengths. Refuses to know systems and clocks. Needs no data: sentences are composed from the
parts below, in the manner of questions, notes and records that people embed.
"""

import random

OPENINGS = (
    """
In the first weeks of the year|When the office opened on Monday|After a long discussion
According to the latest report|Before anyone could object|For most families in the region
Two days after the storm|On the way back from the clinic|Since the new rules came into force
At the end of the second shift|If the payment has not arrived|During the summer
Although the budget was small|Once the samples had been counted|In spite of many warnings
With a little more patience
""".strip()
    .replace("\n", "|")
    .split("|")
)

SUBJECTS = (
    """
the insurance office|a retired teacher|our support team|the second laboratory|an experienced nurse
the night train|every new customer|the city council|a group of volunteers|the research department
the oldest bridge in the valley|my neighbour's daughter|the hospital pharmacy|a small software company
the committee on housing|the delivery driver|the museum's archive|an independent reviewer
the farmers' cooperative|the winning design|the regional airport|a patient with mild symptoms
the translated manual|the quarterly newsletter|the rescue crew|the author of the study
""".strip()
    .replace("\n", "|")
    .split("|")
)

VERBS = (
    """
has decided to replace|could not explain|will soon publish|carefully examined|quietly repaired
no longer accepts|was asked to compare|completely ignored|has begun to measure|finally approved
still depends on|wants to return|recommended|misunderstood|is going to pay for|delivered|rarely mentions
described|had to postpone|keeps track of
""".strip()
    .replace("\n", "|")
    .split("|")
)

OBJECTS = (
    """
the monthly premium for prescription drugs|an old map of the harbour|three different methods of storing heat
the results of the blood test|a request for a new password|the list of missing parts
the contract with the landlord|a collection of handwritten letters
the safety instructions for the upper floors|the price of renewable electricity
a simple recipe for lentil soup|the schedule of evening classes|the error message on the second screen
the claim for a damaged suitcase|an early version of the timetable|the evidence about sleep and memory
the noise along the northern motorway|a proposal for cheaper school meals|the water level behind the dam
the warranty on the washing machine|two chapters about trade in the Middle Ages|the photographs from orbit
""".strip()
    .replace("\n", "|")
    .split("|")
)

ENDINGS = (
    """
because the deadline was moved forward|without asking for a second opinion
and sent a copy to everyone involved|even though nobody had complained|so that the work can start in April
which surprised most of the people in the room|as soon as the forms are signed
while the old system is being shut down|at less than half of the expected cost|until the weather improves
in order to avoid further delays|after checking every number twice
""".strip()
    .replace("\n", "|")
    .split("|")
)

QUESTIONS = (
    """
How do I|Who is allowed to|When should we|Is it possible to|What does it cost to|Where can my parents
""".strip()
    .replace("\n", "|")
    .split("|")
)

ACTIONS = (
    """
change the address on my account|apply for help with hospital bills|book a seat beside the window
read the meter without opening the cabinet|cancel an order that has already been shipped
learn to bake bread at home|compare two plans that cover the same doctors|grow tomatoes on a shaded balcony
recover files from a broken disk
""".strip()
    .replace("\n", "|")
    .split("|")
)

SETS = ("short", "long", "mixed")


def texts_of(name: str, count: int) -> list[str]:
    """`count` texts of a set, always the same.

    Args:
        name: `short` (about 12 to 36 tokens, as questions and titles), `long` (about 210 tokens), `mixed` (12 to 250
            tokens in arrival order, most of them short) or `numbers` (two of them, 4 tokens, no two texts alike: for
            many rows in little time).
        count: how many.
    """
    chance = random.Random(f"embedhub {name}")
    if name == "numbers":
        return [f"{number // 1000} {number % 1000}" for number in chance.sample(range(count), count)]
    makers = {"short": _short, "long": _long, "mixed": _mixed}
    return [makers[name](chance) for _ in range(count)]


def _sentence(chance: random.Random) -> str:
    parts = [chance.choice(part) for part in (SUBJECTS, VERBS, OBJECTS)]
    if chance.random() < 0.4:
        parts[0] = f"{chance.choice(OPENINGS)}, {parts[0]}"
    if chance.random() < 0.7:
        parts.append(chance.choice(ENDINGS))
    text = " ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _question(chance: random.Random) -> str:
    # The number keeps texts apart: a system that remembers vectors shall gain nothing.
    return f"Ticket {chance.randrange(10**6)}: {chance.choice(QUESTIONS)} {chance.choice(ACTIONS)}?"


def _short(chance: random.Random) -> str:
    return _question(chance) if chance.random() < 0.2 else _sentence(chance)


def _long(chance: random.Random) -> str:
    return " ".join(_sentence(chance) for _ in range(chance.randint(9, 11)))


def _mixed(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return _question(chance)
    # Lengths of real traffic fall off like this: half are one sentence, few nearly fill the model.
    return " ".join(_sentence(chance) for _ in range(min(10, int(chance.paretovariate(1.2)))))
