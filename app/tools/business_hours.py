"""get_business_hours: when the shop is open. MOCK DATA: replace `HOURS` with your own."""

from enum import StrEnum

from pydantic import BaseModel, Field

from llm_planner import Tool, ToolContext

from ..languages import language


class Day(StrEnum):
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


HOURS = {**dict.fromkeys(Day, "9:00–18:00"), Day.SATURDAY: "9:00–13:00", Day.SUNDAY: None}
DAYS = {
    "es": ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
    "en": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "pt": ["segunda", "terça", "quarta", "quinta", "sexta", "sábado", "domingo"],
}
CLOSED = {"es": "cerrado", "en": "closed", "pt": "fechado"}


class BusinessHoursInput(BaseModel):
    day: Day | None = Field(None, title="Day", description="Day of the week; leave out for the whole week")


class BusinessHours(Tool):
    name = "get_business_hours"
    title = "Horario de atención"
    description = "Opening hours of the shop, for one day or the whole week."
    input_model = BusinessHoursInput
    write = False
    examples = [
        ("when are you open?", {}),
        ("are you open on Sunday?", {"day": "sunday"}),
        ("¿cuál es el horario de atención?", {}),
        ("¿abren los sábados?", {"day": "saturday"}),
        ("a qué hora cierran el viernes", {"day": "friday"}),
    ]

    async def run(self, args: BusinessHoursInput, ctx: ToolContext) -> dict[str, str | None]:
        return {day.value: HOURS[day] for day in Day if args.day in (None, day)}

    def render(self, result: dict[str, str | None], locale: str) -> str:
        tongue = language(locale)
        names = dict(zip((day.value for day in Day), DAYS[tongue], strict=True))
        return "\n".join(f"{names[day]}: {hours or CLOSED[tongue]}" for day, hours in result.items())
