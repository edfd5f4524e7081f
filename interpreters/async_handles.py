"""The handles, awaited: the same names, arguments and refusals."""

from collections.abc import Generator
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from interpreters.agent_handle import AgentHandle
from interpreters.lease_handle import LeaseHandle
from interpreters.locked_memory import Protection
from interpreters.operator_handle import OperatorHandle
from interpreters.rotation_handle import RotationHandle
from interpreters.supply import AsyncKeyProvider
from interpreters.threaded import Calls, Facade, threaded
from interpreters.viewer_handle import ViewerHandle
from ironsecrets.identifiers import Environment, LeaseId, SecretName
from ironsecrets.principals import Agent, Principal
from ironsecrets.secrets import Label

if TYPE_CHECKING:
    from interpreters.httpx_auth import LeasedAuth
    from interpreters.web import LeaseFor


class AsyncViewerHandle(Facade[ViewerHandle]):
    """A viewer's handle, awaited."""

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self._wrapped.principal

    masked = threaded(ViewerHandle.masked)
    secrets = threaded(ViewerHandle.secrets)
    history = threaded(ViewerHandle.history)
    agents = threaded(ViewerHandle.agents)
    grants = threaded(ViewerHandle.grants)
    leases = threaded(ViewerHandle.leases)
    requests = threaded(ViewerHandle.requests)


class AsyncRotationHandle(Facade[RotationHandle]):
    """Rotation of values, awaited."""

    set = threaded(RotationHandle.set)
    clear = threaded(RotationHandle.clear)
    due = threaded(RotationHandle.due)
    plans = threaded(RotationHandle.plans)
    begin = threaded(RotationHandle.begin)
    finish = threaded(RotationHandle.finish)
    abort = threaded(RotationHandle.abort)
    now = threaded(RotationHandle.now)


class AsyncOperatorHandle(Facade[OperatorHandle]):
    """An operator's handle, awaited."""

    def __init__(self, wrapped: OperatorHandle, calls: Calls) -> None:
        super().__init__(wrapped, calls)
        self.rotation = AsyncRotationHandle(wrapped.rotation, calls)
        """Rotation of values."""

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self._wrapped.principal

    masked = threaded(OperatorHandle.masked)
    secrets = threaded(OperatorHandle.secrets)
    history = threaded(OperatorHandle.history)
    agents = threaded(OperatorHandle.agents)
    grants = threaded(OperatorHandle.grants)
    leases = threaded(OperatorHandle.leases)
    requests = threaded(OperatorHandle.requests)
    enroll = threaded(OperatorHandle.enroll)
    enroll_ic = threaded(OperatorHandle.enroll_ic)
    adopt_ic = threaded(OperatorHandle.adopt_ic)
    suspend = threaded(OperatorHandle.suspend)
    resume = threaded(OperatorHandle.resume)
    remove = threaded(OperatorHandle.remove)
    limit = threaded(OperatorHandle.limit)
    auto_suspend = threaded(OperatorHandle.auto_suspend)
    grant = threaded(OperatorHandle.grant)
    break_glass = threaded(OperatorHandle.break_glass)
    revoke = threaded(OperatorHandle.revoke)
    revoke_agent = threaded(OperatorHandle.revoke_agent)
    revoke_all = threaded(OperatorHandle.revoke_all)
    revoke_lease = threaded(OperatorHandle.revoke_lease)
    approve = threaded(OperatorHandle.approve)
    decline = threaded(OperatorHandle.decline)
    request_policy = threaded(OperatorHandle.request_policy)
    seal = threaded(OperatorHandle.seal)
    unseal = threaded(OperatorHandle.unseal)
    put = threaded(OperatorHandle.put)
    describe = threaded(OperatorHandle.describe)
    reveal = threaded(OperatorHandle.reveal)
    rollback = threaded(OperatorHandle.rollback)
    destroy = threaded(OperatorHandle.destroy)
    delete = threaded(OperatorHandle.delete)
    undelete = threaded(OperatorHandle.undelete)
    erase = threaded(OperatorHandle.erase)
    rotate_key = threaded(OperatorHandle.rotate_key)
    key_policy = threaded(OperatorHandle.key_policy)
    add_slot = threaded(OperatorHandle.add_slot)
    remove_slot = threaded(OperatorHandle.remove_slot)
    change_slot = threaded(OperatorHandle.change_slot)
    rekey = threaded(OperatorHandle.rekey)


class AsyncLeaseHandle(Facade[LeaseHandle]):
    """A lease, awaited. Leaving the ``async with`` releases and wipes it, cancelled or not."""

    @property
    def id(self) -> LeaseId:
        """The lease's id."""
        return self._wrapped.id

    @property
    def name(self) -> SecretName:
        """The secret's name."""
        return self._wrapped.name

    @property
    def environment(self) -> Environment:
        """The secret's environment."""
        return self._wrapped.environment

    @property
    def expires_at(self) -> datetime:
        """When the lease ends if it is not renewed, in UTC."""
        return self._wrapped.expires_at

    @property
    def version(self) -> int:
        """The version of the value that was taken last; 0 where none is held."""
        return self._wrapped.version

    @property
    def protection(self) -> frozenset[Protection]:
        """How the memory of the value is protected."""
        return self._wrapped.protection

    bytes = threaded(LeaseHandle.bytes)
    text = threaded(LeaseHandle.text)
    view = threaded(LeaseHandle.view)
    value = threaded(LeaseHandle.value)
    ip_token = threaded(LeaseHandle.ip_token)
    renew = threaded(LeaseHandle.renew)
    release = threaded(LeaseHandle.release, certain=True)

    async def __aenter__(self) -> "AsyncLeaseHandle":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()


class Opening:
    """A lease that is being opened: await it, or use it in an ``async with``."""

    def __init__(
        self, agent: AgentHandle, calls: Calls, name: str, environment: str, ttl: timedelta | None, label: Label
    ) -> None:
        self._agent, self._calls = agent, calls
        self._asked: dict[str, Any] = {"environment": environment, "ttl": ttl, "label": label}
        self._name = name
        self._lease: AsyncLeaseHandle | None = None

    def __await__(self) -> Generator[Any, None, AsyncLeaseHandle]:
        return self._open().__await__()

    async def _open(self) -> AsyncLeaseHandle:
        opened = await self._calls.run(lambda: self._agent.lease(self._name, **self._asked))
        return AsyncLeaseHandle(opened, self._calls)

    async def __aenter__(self) -> AsyncLeaseHandle:
        self._lease = await self._open()
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lease is not None:
            await self._lease.release()


class AsyncAgentHandle(Facade[AgentHandle]):
    """An agent's handle, awaited."""

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self._wrapped.principal

    @property
    def agent(self) -> Agent:
        """Who it is, with what its token says of it."""
        return self._wrapped.agent

    def lease(self, name: str, *, environment: str, ttl: timedelta | None = None, label: Label = "current") -> Opening:
        """Lease a secret: ``async with agent.lease(...) as lease``, or ``lease = await agent.lease(...)``."""
        return Opening(self._wrapped, self._calls, name, environment, ttl, label)

    lease_sealed = threaded(AgentHandle.lease_sealed)
    request_access = threaded(AgentHandle.request_access)

    admit = threaded(AgentHandle.admit)

    def httpx_auth(
        self, name: str, *, environment: str, header: str = "Authorization", scheme: str = "Bearer"
    ) -> "LeasedAuth":
        """As of :class:`ironsecrets.AgentHandle`: in an async client it looks at the store in a thread."""
        return self._wrapped.httpx_auth(name, environment=environment, header=header, scheme=scheme)

    def key_provider(self, name: str, *, environment: str) -> AsyncKeyProvider:
        """A callable to await that gives the current value, for SDKs that take one."""
        return self._wrapped.key_provider(name, environment=environment, asynchronous=True)

    def web_lease(self, name: str, *, environment: str) -> "LeaseFor":
        """As of :class:`ironsecrets.AgentHandle`: FastAPI runs it in a thread."""
        return self._wrapped.web_lease(name, environment=environment)
