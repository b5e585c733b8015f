"""What a process may use is what its control groups leave it, its own and those above."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillroom.serve import settings


def made(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("told", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, settings._NO_QUOTA),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),  # in a container its group is the root
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),  # half a core is one that is shared
        # A service of systemd with CPUQuota=, and one whose slice has it.
        ("0::/system.slice/a.service\n", {"system.slice/a.service/cpu.max": "300000 100000\n"}, 3),
        ("0::/system.slice/a.service\n", {"system.slice/a.service/cpu.max": "max 100000\n",
                                          "system.slice/cpu.max": "100000 100000\n"}, 1),
        ("4:cpu,cpuacct:/a\n2:memory:/b\n", {"cpu/a/cpu.cfs_quota_us": "400000\n",
                                             "cpu/a/cpu.cfs_period_us": "100000\n"}, 4),
        ("4:cpu,cpuacct:/a\n", {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
         settings._NO_QUOTA),
        ("0::/gone\n", {}, settings._NO_QUOTA),
    ],
)  # fmt: skip
def test_a_quota_is_found_where_it_is(tmp_path: Path, told: str, files: dict[str, str], cores: int) -> None:
    (tmp_path / "cgroup").write_text(told, encoding="utf-8")
    made(tmp_path / "root", files)
    assert settings._quota(tmp_path / "cgroup", tmp_path / "root") == cores


def test_without_any_of_it_there_is_no_limit(tmp_path: Path) -> None:
    assert settings._quota(tmp_path / "none", tmp_path / "nowhere") == settings._NO_QUOTA
    assert settings.cores() >= 1
