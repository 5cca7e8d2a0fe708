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
    def test_etc_is_kept_on_the_data_partition(self):
        status, out = self.target.run("findmnt -no FSTYPE /etc | grep -qx overlay && findmnt -no TARGET /data")
        self.assertEqual(status, 0, msg=out)
