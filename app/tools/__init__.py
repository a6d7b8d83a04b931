"""The allowlist: a tool that is not in TOOLS does not exist for the planner."""

from .business_hours import BusinessHours
from .order_status import OrderStatus
from .register_customer import RegisterCustomer
from .search_products import SearchProducts
from .verify_customer_email import VerifyCustomerEmail

TOOLS = [OrderStatus, SearchProducts, BusinessHours, RegisterCustomer, VerifyCustomerEmail]
