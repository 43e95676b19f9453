"""The Debian package: built, installed and removed again, in a throw-away copy of this system."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD_TIMEOUT = 600  # seconds, most of them pip's
SCRIPT_TIMEOUT = 400

# An overlay file system: what is installed lands in memory and is gone with the mount namespace.
# The mode of its root directory is made here: with a caller's umask of 077 the user mip6 could not enter it.
THROW_AWAY_SYSTEM = """
set -euo pipefail
umask 022
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t proc proc /mnt/root/proc
mount --bind /dev /mnt/root/dev
cp "$1" /mnt/root/tmp/mip6.deb
ip link set lo up
exec chroot /mnt/root bash -c "set -ex; cd /; $2"
"""
# Of the system itself, whatever the caller has in front of it (pyenv, for one).
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CONFIGURATION = """
home_links:
  - name: homenet
    bridge: br-home
    address: 2001:db8:1::2
    prefixes: [2001:db8:1::/64]
    router: 2001:db8:1::1
    uplinks: [eth1]
"""


@pytest.fixture(scope="module")
def package() -> Path:
    result = subprocess.run(
        [ROOT / "deploy/package/build-deb"], capture_output=True, text=True, timeout=BUILD_TIMEOUT, check=False
    )
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


def on_a_throw_away_system(package: Path, script: str) -> str:
    """What a script prints, its commands among it; all of that in the failure if one of them fails."""
    alone = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    result = subprocess.run(
        # timeout ends it rather than run(), whose exception has none of the output.
        [
            "timeout",
            "--signal=KILL",
            str(SCRIPT_TIMEOUT),
            *alone,
            "bash",
            "-c",
            THROW_AWAY_SYSTEM,
            "-",
            package,
            script,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"status {result.returncode} of:\n{result.stdout}"
    return result.stdout


@pytest.mark.timeout(BUILD_TIMEOUT + SCRIPT_TIMEOUT + 60)
def test_the_installed_programs_serve_as_their_own_user_and_purging_leaves_nothing(package: Path) -> None:
    printed = on_a_throw_away_system(
        package,
        f"""
        dpkg --install /tmp/mip6.deb
        systemd-analyze verify /usr/lib/systemd/system/mip6-{{manager,ovs,adapters}}.service
        systemctl disable mip6-manager
        dpkg --install /tmp/mip6.deb
        [ $(systemctl is-enabled mip6-ovs) = enabled ]
        [ $(systemctl is-enabled mip6-manager) = disabled ]
        echo '{CONFIGURATION}' >/etc/mip6/mip6.yaml
        mip6ctl config check --config /etc/mip6/mip6.yaml
        setpriv --reuid mip6 --regid mip6 --clear-groups mip6-manager --config /etc/mip6/mip6.yaml &
        for attempt in $(seq 100); do ! mip6ctl show statistics >/tmp/shown 2>&1 || break; kill -0 %1; sleep 0.2; done
        cat /tmp/shown
        mip6ctl show statistics >/dev/null
        ps -o user=,args= -p $!
        kill %1
        wait %1
        rm /etc/mip6/mip6.yaml
        dpkg --purge mip6
        for left in /opt/mip6 /usr/bin/mip6ctl /etc/mip6; do
            [ ! -e $left ] || echo "left: $left"
        done
        find /etc/systemd /usr/lib/systemd /var/lib/systemd -name 'mip6*' -printf 'left: %p\\n'
        """,
    )
    assert "/etc/mip6/mip6.yaml is good (home_links: homenet)" in printed
    assert re.search(r"^mip6 .*mip6-manager", printed, re.MULTILINE), printed
    assert not re.search(r"^left:", printed, re.MULTILINE), printed  # commands are printed, too


def test_links_of_the_installed_documentation_lead_to_something(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    documents = tmp_path / "usr/share/doc/mip6"
    pages = sorted(documents.rglob("*.md"))
    assert len(pages) > 20
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.relative_to(documents)}: {target}"
    assert (documents / "examples/one-switch.yaml").is_file()


def test_the_shim_comes_compiled_and_topologies_stay_away(package: Path) -> None:
    listing = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    assert "/site-packages/deploy/shim/ip6ip6.bpf.o\n" in listing
    assert "/usr/share/bash-completion/completions/mip6ctl\n" in listing
    assert "/site-packages/topo/" not in listing
    owners = {line.split()[1] for line in listing.splitlines()}
    assert owners == {"root/root"}
