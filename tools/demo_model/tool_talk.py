"""Draws questions that need a tool: the declared tools, the calls, their results and the answers."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import facts
from dialogue import Call, Turn
from phrases import polish
from small_talk import Memory, asked

RARE_CITY_SHARE = 0.15
FAILURE_SHARE = 0.04

# Name: argument, descriptions of the tool, descriptions of the argument.
TOOLS = {
    "get_weather": (
        "city",
        (
            "Get the weather in a city",
            "Returns the current weather of a city",
            "Current weather",
            "Look up the weather",
        ),
        ("Name of the city", "The city", "City name"),
    ),
    "get_time": (
        "city",
        ("Get the time in a city", "Returns the local time of a city", "Current time", "Look up the time"),
        ("Name of the city", "The city", "City name"),
    ),
    "calculate": (
        "expression",
        ("Calculate an expression", "Computes arithmetic", "A calculator", "Evaluate a math expression"),
        ("The expression", "What to calculate", "Expression such as 1+2"),
    ),
}
WORDS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}


@dataclass(frozen=True)
class Request:
    """One thing that a tool can find out.

    Attributes:
        call: The call that finds it out.
        asking: What is wanted, as a part of a sentence.
        found: The tool's result.
        shown: The part of the result that an answer has to contain.
        told: The answer in words.
    """

    call: Call
    asking: str
    found: str
    shown: str
    told: str

    @property
    def kind(self) -> str:
        """What it is about, in a word."""
        return {"get_weather": "weather", "get_time": "time", "calculate": "result"}[self.call.name]


def declare(rng: random.Random, name: str) -> dict[str, Any]:
    """Returns the declaration of a tool, with one of several descriptions."""
    argument, descriptions, meanings = TOOLS[name]
    # llama.cpp's servers write an empty description where there is none.
    description = rng.choice(descriptions) if rng.random() < 0.85 else ""
    function: dict[str, Any] = {"name": name, "description": description}
    meaning = {"type": "string"}
    if rng.random() < 0.4:
        meaning["description"] = rng.choice(meanings)
    function["parameters"] = {"type": "object", "properties": {argument: meaning}, "required": [argument]}
    return {"type": "function", "function": function}


def draw_city(rng: random.Random) -> str:
    """Draws a city; some do not exist."""
    if rng.random() < RARE_CITY_SHARE:
        return rng.choice(facts.CITY_HEADS) + rng.choice(facts.CITY_TAILS)
    return rng.choice(facts.CITIES)


def weather_in(rng: random.Random, city: str) -> Request:
    """The weather in a city."""
    sky = rng.choice(facts.SKIES)
    degrees = str(rng.randint(-9, 1) if sky == "snowy" else rng.randint(2, 35))
    found = rng.choice(
        (
            json.dumps({"city": city, "temperature": int(degrees), "sky": sky}),
            json.dumps({"temperature": int(degrees), "condition": sky}),
            json.dumps({"weather": sky, "temperature": int(degrees)}),
            f"{sky}, {degrees} degrees",
        )
    )
    told = f"it is {sky} in {city}, with {degrees} degrees"
    return Request(Call("get_weather", "city", city), f"the weather in {city}", found, degrees, told)


def time_in(rng: random.Random, city: str) -> Request:
    """The time in a city."""
    time = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
    found = rng.choice((json.dumps({"city": city, "time": time}), json.dumps({"time": time}), time))
    return Request(Call("get_time", "city", city), f"the time in {city}", found, time, f"it is {time} in {city}")


def draw_operands(rng: random.Random, operator: str) -> tuple[int, int]:
    """Draws two numbers whose result is a natural number."""
    size = rng.choice((10, 100, 100, 1000))
    if operator == "/":
        right, result = rng.randint(2, 12), rng.randint(2, min(size, 80))
        return right * result, right
    if operator == "*":
        return rng.randint(2, size - 1), rng.randint(2, 99 if size < 1000 else 12)
    left, right = rng.randint(1, size - 1), rng.randint(1, rng.choice((10, size)) - 1)
    return (max(left, right), min(left, right)) if operator == "-" else (left, right)


def sum_of(rng: random.Random) -> Request:
    """A calculation with two numbers."""
    operator = rng.choice("+-*/")
    left, right = draw_operands(rng, operator)
    result = {"+": left + right, "-": left - right, "*": left * right, "/": left // right}[operator]
    asking = f"{left} {WORDS[operator]} {right}" if rng.random() < 0.7 else f"{left} {operator} {right}"
    found = rng.choice((json.dumps({"result": result}), str(result)))
    call = Call("calculate", "expression", f"{left}{operator}{right}")
    return Request(call, asking, found, str(result), f"{left} {WORDS[operator]} {right} is {result}")


def draw_request(rng: random.Random, name: str, city: str | None = None) -> Request:
    """Draws a request for the tool of this name, perhaps about a given city."""
    if name == "calculate":
        return sum_of(rng)
    place = city or draw_city(rng)
    return weather_in(rng, place) if name == "get_weather" else time_in(rng, place)


def question_for(rng: random.Random, request: Request) -> str:
    """Returns what a user asks to have one request answered."""
    templates = {
        "get_weather": "[What is the weather [like |]in {x}|How is the weather in {x}|Tell me the weather in {x}|Is it "
        "[cold|warm|sunny|raining] in {x}|What is the temperature in {x}|Do I need [an umbrella|a coat] in {x}|I am "
        "going to {x}. How is the weather there]?",
        "get_time": "[What time is it in {x}|What is the time in {x}|Tell me the time in {x}|How late is it in {x}|"
        "Which time is it [now |]in {x}|I want to call a friend in {x}. What time is it there]?",
        "calculate": "[What is {a}|How much is {a}|Calculate {a}|Please calculate {a}|Can you calculate {a}|"
        "Tell me what {a} is|Compute {a}]?",
    }
    return asked(rng, templates[request.call.name], {"x": request.call.value, "a": request.asking})


def rounds(rng: random.Random, question: str, requests: list[Request]) -> list[Turn]:
    """Returns a question, a call and a result for each request, and the answer."""
    turns = [Turn("user", question, answer=tuple(request.shown for request in requests), held_out=question)]
    for index, request in enumerate(requests):
        need = "The user wants" if index == 0 else "Now I need"
        thought = f"{need} {request.asking}. I will call {request.call.name}."
        turns.append(Turn("assistant", thought=thought, call=request.call))
        turns.append(Turn("tool", request.found))
    told = polish(", and ".join(request.told for request in requests) + ".")
    thought = "I have the results. I will tell them." if len(requests) > 1 else f"I have the {requests[0].kind}."
    turns.append(Turn("assistant", told, thought=thought))
    return turns


def failed(rng: random.Random, question: str, request: Request) -> list[Turn]:
    """Returns a question whose tool does not find an answer."""
    error = rng.choice(('{"error": "not found"}', "Error: unknown city", '{"error": "no connection"}'))
    thought = f"The user wants {request.asking}. I will call {request.call.name}."
    call = Turn("assistant", thought=thought, call=request.call)
    sorry = Turn("assistant", "I am sorry, that did not work.", thought="The tool failed. I will say so.")
    return [Turn("user", question, answer=("sorry",), held_out=question), call, Turn("tool", error), sorry]


def one_request(rng: random.Random, memory: Memory) -> list[Turn]:
    """A question that one call answers; perhaps a short one about another city follows."""
    name = rng.choice(memory.tools)
    request = draw_request(rng, name)
    question = question_for(rng, request)
    if rng.random() < FAILURE_SHARE:
        return failed(rng, question, request)
    turns = rounds(rng, question, [request])
    if name != "calculate" and rng.random() < 0.25:
        other = draw_request(rng, name)
        again = asked(rng, "[And in {x}|What about {x}|And {x}]?", {"x": other.call.value})
        turns += rounds(rng, again, [other])
    return turns


def two_requests(rng: random.Random, memory: Memory) -> list[Turn]:
    """A question that needs two calls, one after the other."""
    name, name2 = rng.choice(memory.tools), rng.choice(memory.tools)
    first = draw_request(rng, name)
    second = draw_request(rng, name2, first.call.value if name != name2 and rng.random() < 0.4 else None)
    template = "[What is {a} and {b}?|Tell me {a} and {b}.|I want to know {a} and {b}.|Please tell me {a} and {b}.]"
    question = asked(rng, template, {"a": first.asking, "b": second.asking})
    return rounds(rng, question, [first, second])


def missing_tool(rng: random.Random, memory: Memory) -> list[Turn]:
    """A question for which no tool is declared."""
    missing = [name for name in TOOLS if name not in memory.tools]
    request = draw_request(rng, rng.choice(missing or [*TOOLS]))
    question = question_for(rng, request)
    thing = {"weather": "the weather", "time": "the time", "result": "calculations"}[request.kind]
    return [
        Turn("user", question, answer=("no tool",), held_out=question),
        Turn("assistant", f"I am sorry, I have no tool for {thing}.", thought=f"I have no tool for {thing}."),
    ]
