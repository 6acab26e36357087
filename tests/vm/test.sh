# SPDX-License-Identifier: Apache-2.0
# Inside the virtual machine: each program loads, sees what it is for, and the ledger adds up.
fail=0
expect() { # expect WHAT FILE PATTERN...
	what=$1 file=$2; shift 2
	for pattern; do
		grep -q "$pattern" "$file" || { echo "FAIL $what: no $pattern"; fail=1; tail -5 "$file"; }
	done
}
/sonde check
/sonde check --json >/tmp/check.json || { echo "FAIL check"; fail=1; }
traces=
trace() { # trace NAME ARGUMENTS...: until it is ended
	name=$1; shift
	/sonde trace "$@" -o json >"/tmp/$name.json" 2>"/tmp/$name.err" &
	traces="$traces $!"
}
trace process process
trace net connection packet_drop
trace counts file syscall
trace dns dns
trace flow flow --set interface_1=lo --set only_port_1=9
for i in $(seq 60); do # emulation is slow
	sleep 1
	[ "$(cat /tmp/*.err | grep -c tracing)" = 5 ] && break
done
sh -c 'exit 3'
nc -l -p 8080 </dev/null >/dev/null &
sleep 1
echo hello | nc -w 1 127.0.0.1 8080
nc -w 1 127.0.0.1 9 </dev/null 2>/dev/null
echo counted >/tmp/counted
for i in 1 2 3; do cat /tmp/counted >/dev/null; done
dd if=/dev/zero of=/tmp/blocks bs=1 count=3000 2>/dev/null
nslookup nobody.example 127.0.0.1 >/dev/null 2>&1 # nobody serves
sleep 8 # until its time is over
kill -INT $traces
wait $traces
cat /tmp/process.err /tmp/net.err /tmp/counts.err /tmp/dns.err /tmp/flow.err
expect process /tmp/process.json '"kind":"exec"' '"kind":"fork"' '"exit_code":3' '"kind":"running"'
expect connection /tmp/net.json '"kind":"connect"' '"kind":"accept"' '"kind":"close"' '"error":"ECONNREFUSED"' '"reason":"NO_SOCKET"'
expect file /tmp/counts.json '"path":"/tmp/counted"' '"operation":"write"'
written=$(sed -n '/"operation":"write".*"path":"\/tmp\/blocks"/s/.*"count":\([0-9]*\),.*/\1/p' /tmp/counts.json | awk '{ n += $1 } END { print n }')
[ "$written" = 3000 ] || { echo "FAIL file: $written of 3000 writes"; fail=1; }
expect syscall /tmp/counts.json '"type":"syscall"' '"name":"openat"'
expect dns /tmp/dns.json '"name":"nobody.example"' '"timed_out":true'
expect flow /tmp/flow.json '"destination_port":9,"protocol":"TCP","direction":"egress","interface_index":1,"interface":"lo","packets":1,"bytes":60,' \
	'"source_port":9,.*"direction":"ingress".*"packets":1,"bytes":40,.*"tcp_flags":"RA"'
tc qdisc show dev lo | grep clsact && { echo "FAIL flow: its clsact is left"; fail=1; }
[ "$(cat /tmp/*.err | grep -c 'residual 0')" = 7 ] || { echo "FAIL residual"; fail=1; }
exit $fail
