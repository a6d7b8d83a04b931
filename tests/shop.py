"""A shop for tests of several steps: customers, orders, and two writes; every call leaves a row."""

import asyncio
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, text

from llm_planner import Tool, ToolContext

CALLS = (
    "CREATE TABLE IF NOT EXISTS shop_calls "
    "(call_key VARCHAR(80) NOT NULL, tool VARCHAR(40) NOT NULL, about VARCHAR(80) NOT NULL)"
)
HOLD = "SHOP_HOLD"
"""The environment variable that names a file: while it is there, a refund is looked up and not found."""


class CustomerInput(BaseModel):
    name: str


class Customer(BaseModel):
    id: int
    name: str


class OrdersInput(BaseModel):
    customer_id: int


class Order(BaseModel):
    id: str
    item: str
    status: str


class Orders(BaseModel):
    orders: list[Order]


class OrderInput(BaseModel):
    order_id: str


class RefundInput(BaseModel):
    refund: str


class NoteInput(BaseModel):
    text: str


class Shop(Tool):
    """What the tools share: a row for each call."""

    write = False

    async def called(self, ctx: ToolContext, about: str) -> None:
        row = {"k": ctx.idempotency_key, "t": self.name, "a": about}
        await ctx.db.run(lambda conn: _insert(conn, row))


class FindCustomer(Shop):
    name = "find_customer"
    title = "Find a customer"
    description = "Finds a customer by name."
    input_model = CustomerInput
    output_model = Customer

    async def run(self, args: CustomerInput, ctx: ToolContext) -> Customer:
        await self.called(ctx, args.name)
        return Customer(id=7, name="Ann Lee")


class ListOrders(Shop):
    name = "list_orders"
    title = "List orders"
    description = "Lists the orders of a customer."
    input_model = OrdersInput
    output_model = Orders
    item = "blue hat"

    async def run(self, args: OrdersInput, ctx: ToolContext) -> Orders:
        await self.called(ctx, str(args.customer_id))
        found = [Order(id="A-1", item="red shoes", status="shipped")]
        return Orders(orders=[*found, Order(id="A-2", item=self.item, status="open")])


class CancelOrder(Shop):
    name = "cancel_order"
    title = "Cancel an order"
    description = "Cancels an order."
    input_model = OrderInput
    write = True

    async def run(self, args: OrderInput, ctx: ToolContext) -> dict[str, str]:
        await self.called(ctx, args.order_id)
        return {"cancelled": args.order_id, "refund": "R-5"}


class RefundStatus(Shop):
    name = "refund_status"
    title = "Refund"
    description = "The status of a refund."
    input_model = RefundInput

    async def run(self, args: RefundInput, ctx: ToolContext) -> dict[str, str]:
        await self.called(ctx, args.refund)
        held = os.environ.get(HOLD)
        while held and Path(held).exists():  # noqa: ASYNC110, ASYNC240 - a file of the test, on this machine
            await asyncio.sleep(0.01)
        return {"refund": args.refund, "status": "on its way"}


class AddNote(Shop):
    name = "add_note"
    title = "Add a note"
    description = "Adds a note to a customer."
    input_model = NoteInput
    write = True

    async def run(self, args: NoteInput, ctx: ToolContext) -> dict[str, str]:
        await self.called(ctx, args.text)
        return {"noted": args.text}


def _insert(conn: Connection, row: dict[str, Any]) -> None:
    conn.execute(text("INSERT INTO shop_calls (call_key, tool, about) VALUES (:k, :t, :a)"), row)


SHOP = [FindCustomer, ListOrders, CancelOrder, RefundStatus, AddNote]
