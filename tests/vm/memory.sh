# SPDX-License-Identifier: Apache-2.0
# Inside the virtual machine, which has little memory: kills below limits of cgroup v2, and of the whole node. Both in the kernel's
# own count, and told once each.
fail=0
cg=/sys/fs/cgroup
expect() { # expect WHAT COUNT PATTERN...: so many lines of the trace have all of these; +: one or more
	what=$1 count=$2; shift 2
	cp /tmp/trace.json /tmp/lines
	for pattern; do
		grep -- "$pattern" /tmp/lines >/tmp/less; mv /tmp/less /tmp/lines
	done
	[ "$count" != + ] || [ ! -s /tmp/lines ] || count=$(wc -l </tmp/lines)
	[ "$(wc -l </tmp/lines)" = "$count" ] || { echo "FAIL $what: $(wc -l </tmp/lines) times, not $count"; fail=1; }
}
hog_in() { # hog_in CGROUP RATE: until it is killed; its pid is in $hog
	sh -c "echo \$\$ >$cg$1/cgroup.procs; echo \$\$ >/tmp/pid; exec /hog $2"
	hog=$(cat /tmp/pid)
}
/sonde trace memory -o json >/tmp/trace.json 2>/tmp/trace.err &
trace=$!
for i in $(seq 60); do # emulation is slow
	sleep 1
	grep -q tracing /tmp/trace.err && break
done
echo +memory >$cg/cgroup.subtree_control
mkdir $cg/leak $cg/outer && echo 60M >$cg/leak/memory.max && echo 40M >$cg/outer/memory.max
echo +memory >$cg/outer/cgroup.subtree_control && mkdir $cg/outer/inner
hog_in /leak 2; leak=$hog
hog_in /outer/inner 100; nested=$hog
hog_in "" 100; node=$hog
echo 500 >/proc/$$/oom_score_adj; echo 0 >/proc/$$/oom_score_adj
for i in $(seq 20); do # it is told at the next look
	sleep 1
	[ "$(grep -c '"type":"memory_history"' /tmp/trace.json)" -ge 3 ] && break
done
kill -INT $trace
wait
cat /tmp/trace.json /tmp/trace.err
grep -q 'oom_kill 1' $cg/leak/memory.events || { echo "FAIL the kernel did not kill once in /leak"; fail=1; }
[ "$(sed -n 's/^oom_kill //p' /proc/vmstat)" = 3 ] || { echo "FAIL the kernel did not kill three times"; fail=1; }
expect 'a kill each' 3 '"kind":"oom_kill"' '"victim_command":"hog"'
expect 'a history each' 3 '"type":"memory_history"' '"mappings":"[0-9.]*:rw-p:\[anon\] '
expect 'kill in /leak' 1 '"kind":"oom_kill"' '"scope":"cgroup"' "\"victim_pid\":$leak," '"limit_bytes":62914560,' '"cgroup":"/leak"'
expect 'forecast' + '"kind":"forecast"' '"scope":"cgroup"' "\"victim_pid\":$leak," '"limit_bytes":62914560,' '"cgroup":"/leak"'
expect 'warning before the kill' 1 '"type":"memory_history"' "\"victim_pid\":$leak," '"warned_ns":[0-9]'
expect "the parent's limit" 1 '"kind":"oom_kill"' '"scope":"cgroup"' "\"victim_pid\":$nested," '"limit_bytes":41943040,' '"cgroup":"/outer"'
expect 'kill of the node' 1 '"kind":"oom_kill"' '"scope":"node"' "\"victim_pid\":$node," '"cgroup":"/"'
expect 'history of the node' 1 '"type":"memory_history"' '"scope":"node"' "\"victim_pid\":$node," '"curve":"-'
grep -q 'residual 0' /tmp/trace.err || { echo "FAIL residual"; fail=1; }
exit $fail
