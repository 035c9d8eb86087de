# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL of one's own: Debian's server in a temporary folder, as a user without rights, on a
Unix socket alone. The system's service is neither needed nor touched.

    with postgres.Server() as server:
        server.url("tapeout")           # postgresql://…, with the database made
        server.stop("immediate"); server.start()
"""
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")


def missing():
    """Why it cannot be run here, or None."""
    return None if (BIN / "postgres").exists() else "no PostgreSQL 15: Debian's package postgresql"


class Server:
    """Started when made, gone when closed."""

    def __init__(self, settings=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tp-pg-"))
        self.data = self.folder / "data"
        self.settings = dict(setting.split("=", 1) for setting in settings)
        self.process = None
        self.made = set()
        # The server refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            entry = pwd.getpwnam(self.user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._run("initdb", "-D", self.data, "-U", "tapeout", "-A", "trust", "-E", "UTF8",
                  "--no-sync", "--locale=C.UTF-8")
        self.start()

    def _run(self, program, *arguments):
        done = subprocess.run([str(BIN / program), *map(str, arguments)], user=self.user,
                              cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=120, check=False,
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stdout}")
        return done.stdout

    def start(self):
        options = {"listen_addresses": "", "unix_socket_directories": str(self.folder),
                   "max_connections": "200", "shared_buffers": "32MB", **self.settings}
        log = open(self.folder / "log", "ab")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            [str(BIN / "postgres"), "-D", str(self.data),
             *(f"--{name}={value}" for name, value in options.items())],
            user=self.user, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        log.close()
        for _ in range(600):
            ready = subprocess.run([str(BIN / "pg_isready"), "-q", "-h", str(self.folder)],
                                   check=False)
            if ready.returncode == 0:
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError("postgres did not start: " + (self.folder / "log").read_text()[-2000:])

    def stop(self, mode="fast"):
        """fast: connections are ended; immediate: as if the power went."""
        if self.process and self.process.poll() is None:
            self.process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
            self.process.wait(60)
        self.process = None

    def kill(self):
        """kill -9 of the server and of what serves its connections."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        self.process = None

    def url(self, database="tapeout"):
        if database not in self.made:
            self.sql(f'CREATE DATABASE "{database}"', database="postgres")
            self.made.add(database)
        return f"postgresql:///{database}?host={self.folder}&user=tapeout"

    def sql(self, text, database="tapeout"):
        """What psql prints, a row a line."""
        return self._run("psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", self.folder,
                         "-U", "tapeout", "-d", database, "-c", text)

    def close(self):
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
