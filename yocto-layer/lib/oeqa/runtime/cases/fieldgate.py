# SPDX-License-Identifier: MIT
from oeqa.core.decorator.depends import OETestDepends
from oeqa.runtime.case import OERuntimeTestCase


class FieldgateTest(OERuntimeTestCase):
    @OETestDepends(["ssh.SSHTest.test_ssh"])
    def test_broker_listens(self):
        status, out = self.target.run("systemctl is-active fieldgate && fieldgate health --wait 60")
        self.assertEqual(status, 0, msg=out)

    @OETestDepends(["ssh.SSHTest.test_ssh"])
    def test_root_is_read_only(self):
        status, out = self.target.run("findmnt -no OPTIONS / | grep -qw ro")
        self.assertEqual(status, 0, msg=out)

    @OETestDepends(["ssh.SSHTest.test_ssh"])
    def test_etc_and_var_are_laid_over_the_root(self):
        for tree in ("/etc", "/var"):
            status, out = self.target.run(f"findmnt -no FSTYPE {tree} | grep -qx overlay && findmnt -no TARGET /data")
            self.assertEqual(status, 0, msg=out)

    @OETestDepends(["ssh.SSHTest.test_ssh"])
    def test_the_board_has_its_name_and_the_build_its_own(self):
        status, out = self.target.run("hostname | grep -qx fieldgate && grep -q '^BUILD_ID=.' /etc/os-release")
        self.assertEqual(status, 0, msg=out)
