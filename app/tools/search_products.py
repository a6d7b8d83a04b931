"""search_products: the catalogue. MOCK DATA: replace `CATALOGUE` with your own search."""

import unicodedata

from pydantic import BaseModel, Field

from llm_planner import Tool, ToolContext

from ..languages import language

CATALOGUE = [
    ("Zapatillas rojas de correr / red running shoes", 59.0),
    ("Zapatos negros de cuero / black leather shoes", 89.0),
    ("Camisa azul de lino / blue linen shirt", 35.0),
    ("Mochila verde impermeable / green waterproof backpack", 49.0),
    ("Auriculares inalámbricos / wireless headphones", 79.0),
    ("Notebook 14 pulgadas / 14-inch laptop", 649.0),
]
SHOWN = 5
NOTHING = {
    "es": "No encontré productos para «{query}».",
    "en": "I found no products for “{query}”.",
    "pt": "Não encontrei produtos para «{query}».",
}


class SearchProductsInput(BaseModel):
    query: str = Field(
        title="Product", description="What to look for, in the customer's words", max_length=200
    )
    max_price: float | None = Field(
        None, title="Maximum price", description="Highest price, in US dollars", ge=0
    )


class SearchProducts(Tool):
    name = "search_products"
    title = "Buscar productos"
    description = "Search the product catalogue."
    input_model = SearchProductsInput
    write = False
    examples = [
        ("do you sell red shoes?", {"query": "red shoes"}),
        ("show me laptops under 700", {"query": "laptops", "max_price": 700}),
        ("¿tienen camisas azules?", {"query": "camisas azules"}),
        ("busco una mochila por menos de 60", {"query": "mochila", "max_price": 60}),
        ("quiero comprar auriculares", {"query": "auriculares"}),
    ]

    async def run(self, args: SearchProductsInput, ctx: ToolContext) -> dict[str, object]:
        words = [stem(word) for word in args.query.split()]
        found = [
            {"name": name, "price_usd": price}
            for name, price in CATALOGUE
            if any(word in plain(name) for word in words if len(word) > 2)
            and (args.max_price is None or price <= args.max_price)
        ]
        return {"query": args.query, "products": found[:SHOWN], "mock": True}

    def render(self, result: dict[str, object], locale: str) -> str:
        products = result["products"]
        if not isinstance(products, list) or not products:
            return NOTHING[language(locale)].format(query=result["query"])
        return "\n".join(f"• {item['name']}: USD {item['price_usd']:.2f}" for item in products)


def plain(text: str) -> str:
    """Lower case, no accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def stem(word: str) -> str:
    """A word without its plural."""
    word = plain(word.strip("¿?¡!.,«»\"'"))
    return word[:-2] if word.endswith("es") and len(word) > 5 else word.rstrip("s")
