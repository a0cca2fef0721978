#!/bin/bash
# Records what the tools of ext4 and XFS say, for tests/unit/test_data_quota_recorded.py: record.sh > quota-VERSION.txt
# As root, in an empty folder, where the kernel has quotas; elsewhere in a user-mode Linux (tests/storage shows how).
# The tools are those on PATH. An answer begins with its name, exit status and command; stderr is after `### err`.
set -u
export LC_ALL=C.UTF-8
unset LANGUAGE
keep() {    # keep NAME COMMAND...
    local name=$1; shift
    "$@" >out 2>err
    echo "### $name $? $*"
    cat out
    [ -s err ] && { echo "### err"; uniq err; }
}
as_user() { setpriv --reuid 1 --clear-groups "$@"; }

e=/media/ext4 x=/media/xfs
echo "# $(repquota --version | head -1) $(xfs_quota -V). $(mkfs.ext4 -V 2>&1 | head -1), Linux $(uname -r)."
mkdir -p $e $x
truncate -s 64M e.img; truncate -s 320M x.img
mkfs.ext4 -q -F -O quota,project -E quotatype=usrquota:grpquota:prjquota e.img; mkfs.xfs -q -f x.img
mount -o loop,usrquota,grpquota,prjquota e.img $e; mount -o loop,usrquota,grpquota,prjquota x.img $x
for disk in $e $x; do
    mkdir $disk/over $disk/"two words"; chown 1001 $disk/over
    head -c 3000000 /dev/zero >$disk/over/file; chown 1001 $disk/over/file
    head -c 300000 /dev/zero >$disk/nameless; chown 424242 $disk/nameless
    head -c 300000 /dev/zero >$disk/empty; chown 1003 $disk/empty; : >$disk/empty
    # over its soft limits, a limit without a file, one on files alone, all limits, the largest that fits
    setquota -u 1001 2000 5000 1 100 $disk; setquota -u 1002 0 5120 0 0 $disk; setquota -u 1003 0 0 0 9 $disk
    setquota -u 1004 1024 2048 3 4 $disk; setquota -u 1005 0 1099511627776 0 4000000000 $disk
    setquota -P 10001 0 51200 0 0 $disk
done
for kind in u g P; do
    keep repquota-$kind repquota -$kind -n -p -v $e
    keep repquota-$kind-grace repquota -$kind -n -v $e
done
keep repquota-xfs repquota -u -n -p -v $x
keep quotaon quotaon -p -u $e
keep quota-own as_user quota -u -v -w -p -l 1
keep quota-over quota -u -v -w -p -l 1001
for kind in u g p; do keep xfs-report-$kind xfs_quota -x -c "report -$kind -n -N -b -i" $x; done
keep xfs-own as_user xfs_quota -c "quota -u -N -n -v -b -i 1" $x
keep xfs-over xfs_quota -c "quota -u -N -n -v -b -i 1001" $x
# refusals
keep repquota-not-root as_user repquota -u -n -p -v $e
keep setquota-not-root as_user setquota -u 1 0 1 0 1 $e
keep setquota-too-large setquota -u 1001 0 999999999999999999 0 100 $e
printf '1002 0 7000 0 9\nnobody-at-all 0 8000 0 9\n' >lines
keep setquota-unknown setquota -u -b $e <lines
keep xfs-not-root as_user xfs_quota -x -c "report -u -n -N -b -i" $x
keep xfs-limit-not-root as_user xfs_quota -x -c "limit -u bhard=5120k 1002" $x
keep xfs-unknown xfs_quota -x -c "limit -u bhard=5120k nobody-at-all" $x
keep xfs-no-mount xfs_quota -x -c "report -u -n -N -b -i" /proc
keep repquota-no-mount repquota -u -n -p -v /proc
umount $x; mount -o loop x.img $x
keep xfs-off xfs_quota -x -c "report -u -n -N -b -i" $x
keep xfs-limit-off xfs_quota -x -c "limit -u bhard=5120k 1002" $x
umount $e; mkfs.ext4 -q -F e.img; mount -o loop,usrquota e.img $e
keep repquota-no-file repquota -u -n -p -v $e
quotacheck -cum $e 2>/dev/null
keep quotaon-off quotaon -p -u $e
keep repquota-no-projects repquota -P -n -p -v $e
keep setquota-no-projects setquota -P 1 0 1 0 1 $e
umount $e $x
