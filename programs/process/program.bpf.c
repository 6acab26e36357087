#include <sonde/sonde.bpf.h>
enum demo_kind { DEMO_KIND_ONE, DEMO_KIND_TWO };
struct demo { struct sonde_header header; enum demo_kind kind SONDE_DOC("kind"); sonde_errno error SONDE_DOC("err"); sonde_address a SONDE_DOC("addr"); char path[32] SONDE_DOC("p") SONDE_LENGTH(plen); __u64 plen SONDE_DOC("x");};
SONDE_EVENT(demo, "a demo");
SONDE_SETTING(__u64, update_interval_ns, 10, "time between");
struct dk { sonde_kernel_enum reason SONDE_DOC("r") SONDE_ENUM("skb_drop_reason"); };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 128); __type(key, struct dk); __type(value, __u64);} demo_total SEC(".maps") SONDE_COUNTER("demo_total","doc");
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *t)
{
	struct demo *e = sonde_reserve(demo);
	struct dk k={3};
	sonde_metric_add(&demo_total,&k,1);
	if (!e) return 0;
	e->kind = DEMO_KIND_TWO; e->error=0; e->plen=update_interval_ns; e->path[0]=0;
	sonde_submit(e);
	return 0;
}
