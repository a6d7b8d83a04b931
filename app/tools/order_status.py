"""get_order_status: where an order is. MOCK DATA: replace `ORDERS` with your own system."""

from pydantic import BaseModel, Field

from llm_planner import Tool, ToolContext, ToolFailed

from ..languages import language

ORDERS = {
    "A-1234": ("shipped", "2026-11-28"),
    "A-17": ("delivered", "2026-11-12"),
    "B-77": ("preparing", "2026-12-03"),
}
WORDS = {
    "es": {"shipped": "en camino", "delivered": "entregado", "preparing": "en preparación"},
    "en": {"shipped": "on its way", "delivered": "delivered", "preparing": "being prepared"},
    "pt": {"shipped": "a caminho", "delivered": "entregue", "preparing": "em preparação"},
}
LINES = {
    "es": "Tu pedido {order_id} está {state}; fecha de entrega: {date}.",
    "en": "Your order {order_id} is {state}; delivery date: {date}.",
    "pt": "Seu pedido {order_id} está {state}; data de entrega: {date}.",
}
MISSING = {
    "es": "no encuentro el pedido {order_id}",
    "en": "I can't find order {order_id}",
    "pt": "não encontro o pedido {order_id}",
}


class OrderStatusInput(BaseModel):
    order_id: str = Field(
        title="Order number", description="Order number as printed on the receipt", max_length=40
    )


class OrderStatus(Tool):
    name = "get_order_status"
    title = "Estado del pedido"
    description = "Shipping status of one order."
    input_model = OrderStatusInput
    write = False
    examples = [
        ("where is order A-17?", {"order_id": "A-17"}),
        ("¿dónde está mi pedido B-77?", {"order_id": "B-77"}),
        ("estado de la orden X9", {"order_id": "X9"}),
        ("has my package A-20 shipped yet", {"order_id": "A-20"}),
        ("todavía no me llegó el paquete, pedido 3105", {"order_id": "3105"}),
    ]

    async def run(self, args: OrderStatusInput, ctx: ToolContext) -> dict[str, object]:
        found = ORDERS.get(args.order_id.strip().upper())
        if found is None:
            raise ToolFailed(MISSING[language(ctx.locale)].format(order_id=args.order_id))
        state, date = found
        return {"order_id": args.order_id.strip().upper(), "state": state, "date": date, "mock": True}

    def render(self, result: dict[str, str], locale: str) -> str:
        tongue = language(locale)
        state = WORDS[tongue][result["state"]]
        return LINES[tongue].format(order_id=result["order_id"], state=state, date=result["date"])
