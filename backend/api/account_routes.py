"""Who asks and what they may; people and keys, for an admin."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path
from sqlalchemy import select

from backend.api.account_responses import (
    AccountNewKeyResponse,
    AccountResponse,
    AccountsResponse,
)
from backend.api.api_keys import ApiKeyRole, add_api_key, revoke_api_key
from backend.api.api_services import Uses
from backend.api.audit_routes import record_audit
from backend.api.authentication import Admin, Reader
from backend.api.request_bodies import AccountNewKeyBody
from backend.store.access_tables import ApiKeyRow, PersonRow

account_router = APIRouter(prefix="/api", tags=["Accounts"])
ACCOUNT_ACTIONS = {
    "event.create": ApiKeyRole.OPERATE,
    "event.stop": ApiKeyRole.OPERATE,
    "ven.change": ApiKeyRole.OPERATE,
    "ven.send": ApiKeyRole.OPERATE,
    "load.switch": ApiKeyRole.OPERATE,
    "programme.change": ApiKeyRole.OPERATE,
    "alert.acknowledge": ApiKeyRole.OPERATE,
    "ven.delete": ApiKeyRole.ADMIN,
    "audit.read": ApiKeyRole.ADMIN,
    "account.manage": ApiKeyRole.ADMIN,
}
"""What the console offers, and the role that it needs: each is refused in its own route too."""


@account_router.get("/me", response_model=AccountResponse)
async def get_own_account(actor: Reader) -> dict[str, Any]:
    """Who you are here, and what you may do."""
    person = actor.person
    return {
        "name": actor.name,
        "display_name": actor.name if person is None else person.display_name,
        "kind": actor.kind,
        "role": actor.role.label,
        "groups": [] if person is None else list(person.groups),
        "may": [action for action, role in ACCOUNT_ACTIONS.items() if actor.role >= role],
    }


@account_router.get("/accounts/", response_model=AccountsResponse)
async def list_accounts(uses: Uses, _actor: Admin) -> dict[str, Any]:
    """People the proxy let through, keys (never the keys themselves), and the table of roles."""
    async with uses.database.engine.connect() as connection:
        people = await connection.execute(
            select(PersonRow.__table__).order_by(PersonRow.last_seen_at.desc()).limit(1_000)
        )
        keys = await connection.execute(
            select(ApiKeyRow.__table__).order_by(ApiKeyRow.revoked_at.is_not(None), ApiKeyRow.name)
        )
        proxy = uses.api.proxy
        return {
            "people": people.all(),
            "keys": keys.all(),
            "roles": [
                {"who": who, "role": role}
                for who, _, role in (value.rpartition("=") for value in proxy.roles)
            ],
            "proxies": list(proxy.networks),
        }


@account_router.post("/accounts/keys", response_model=AccountNewKeyResponse, status_code=201)
async def post_account_key(uses: Uses, actor: Admin, body: AccountNewKeyBody) -> dict[str, Any]:
    """A new API key, shown this once. 409 when the name is taken."""
    role = ApiKeyRole.named(body.role)
    try:
        async with uses.database.engine.begin() as connection:
            key = await add_api_key(connection, body.name, role)
            await record_audit(connection, actor, "key.add", body.name, {"role": body.role})
    except ValueError as error:
        raise HTTPException(409, str(error)) from None
    return {"name": body.name, "role": body.role, "key": key}


@account_router.delete("/accounts/keys/{key_name}", status_code=204)
async def delete_account_key(
    uses: Uses,
    actor: Admin,
    key_name: Annotated[str, Path(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")],
) -> None:
    """End a key: requests with it are refused within ten seconds. 404 for none in force."""
    async with uses.database.engine.begin() as connection:
        if not await revoke_api_key(connection, key_name):
            raise HTTPException(404, f"there is no key {key_name!r} in force")
        await record_audit(connection, actor, "key.revoke", key_name)
