/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as runtimes and systemd write them, and paths meant to confuse. ID stands for 64 hex digits. */
#include <enrich/enrich.h>

#include <base/cleanup.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ID "4f3a9d1c0b7e4f3a9d1c0b7e4f3a9d1c0b7e4f3a9d1c0b7e4f3a9d1c0b7e4f3a"
#define OTHER "0000000000000000000000000000000000000000000000000000000000000001"
#define POD "pod0d9a2b1c-5b1f-4a53-9a34-d7e1f2b8c001"
#define POD_SLICE "kubepods-burstable-pod0d9a2b1c_5b1f_4a53_9a34_d7e1f2b8c001.slice"

static const struct {
	const char *path, *name; /* "": none */
} paths[] = {
	/* Docker */
	{"/docker/" ID, ID},
	{"/system.slice/docker-" ID ".scope", ID},
	{"/system.slice/docker.service", "docker.service"},
	{"/mygroup/" ID, ID},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" ID ".scope", ID},
	{"/docker/buildkit/k3o9ou0vbjuagvzm4qx0gbuew", "k3o9ou0vbjuagvzm4qx0gbuew"},
	{"/docker", ""},
	/* Docker in Docker, kind: the outermost */
	{"/docker/" ID "/docker/" OTHER, ID},
	{"/docker/" ID "/kubelet.slice/kubelet-kubepods.slice/cri-containerd-" OTHER ".scope", ID},
	{"/system.slice/docker-" ID ".scope/system.slice/nginx.service", ID},
	/* containerd and Kubernetes */
	{"/kubepods.slice/kubepods-burstable.slice/" POD_SLICE "/cri-containerd-" ID ".scope", ID},
	{"/kubepods.slice/kubepods-" POD ".slice/cri-containerd-" ID ".scope", ID},
	{"/kubepods/besteffort/" POD "/" ID, ID},
	{"/kubepods/" POD "/" ID, ID},
	{"/kubepods/burstable/" POD "/" ID "/app", ID},
	{"/kubepods.slice/kubepods-burstable.slice/" POD_SLICE "/docker-" ID ".scope", ID},
	{"/system.slice/containerd.service/" POD_SLICE ":cri-containerd:" ID, ID},
	{"/kubepods.slice/kubepods-burstable.slice/" POD_SLICE, ""},
	{"/kubepods/besteffort/" POD, ""},
	{"/default/redis", "redis"},
	{"/default/" ID, ID},
	{"/k8s.io/" ID, ID},
	{"/system.slice/nerdctl-" ID ".scope", ID},
	{"/ecs/0f9de17a6465404e8b1f356dc48c4b2b/" ID, ID},
	{"/system.slice/containerd.service", "containerd.service"},
	/* CRI-O */
	{"/kubepods.slice/kubepods-burstable.slice/" POD_SLICE "/crio-" ID ".scope", ID},
	{"/kubepods.slice/kubepods-burstable.slice/" POD_SLICE "/crio-" ID ".scope/container", ID},
	{"/kubepods/burstable/" POD "/crio-" ID, ID},
	{"/kubepods/burstable/" POD "/crio-conmon-" ID, ""},
	{"/system.slice/crio-conmon-" ID ".scope", "crio-conmon-" ID ".scope"},
	/* podman */
	{"/machine.slice/libpod-" ID ".scope", ID},
	{"/machine.slice/libpod-" ID ".scope/container", ID},
	{"/machine.slice/libpod-conmon-" ID ".scope", "libpod-conmon-" ID ".scope"},
	{"/machine.slice/machine-libpod_pod_" OTHER ".slice/libpod-" ID ".scope", ID},
	{"/machine.slice/machine-libpod_pod_" OTHER ".slice", ""},
	{"/libpod_parent/libpod-" ID, ID},
	{"/libpod_parent/conmon", ""},
	{"/libpod_parent/" OTHER "/libpod-" ID, ID},
	{"/libpod_parent/" OTHER, ""},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope/container", ID},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-" ID ".scope",
	 "libpod-conmon-" ID ".scope"},
	{"/system.slice/web.service/libpod-payload-" ID, ID},
	{"/system.slice/web.service/runtime", "web.service"},
	/* LXC, Incus, Proxmox */
	{"/lxc/web", "web"},
	{"/lxc/101/ns/system.slice/nginx.service", "101"},
	{"/lxc.payload.web", "web"},
	{"/lxc.payload.web/docker/" ID, "web"},
	{"/lxc.payload/web/init.scope", "web"},
	{"/lxc.monitor.web", ""},
	{"/user.slice/user-1000.slice/session-2.scope/lxc/web", "web"},
	{"/lxc", ""},
	/* systemd-nspawn and machined */
	{"/machine.slice/machine-web.scope", "web"},
	{"/machine.slice/machine-my\\x2dbox.scope/payload/system.slice/a.service", "my-box"},
	{"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", "qemu-1-vm"},
	{"/machine.slice/systemd-nspawn@web.service/payload/init.scope", "web"},
	{"/machine.slice/systemd-nspawn@my\\x2dbox.service", "my-box"},
	{"/system.slice/machine-check.scope", "machine-check.scope"},
	{"/system.slice/systemd-machined.service", "systemd-machined.service"},
	/* systemd */
	{"/", ""},
	{"", ""},
	{"/init.scope", ""},
	{"/system.slice", ""},
	{"/system.slice/nginx.service", "nginx.service"},
	{"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"},
	{"/system.slice/docker.service/sub/group", "docker.service"},
	{"/user.slice/user-1000.slice/session-3.scope", "session-3.scope"},
	{"/user.slice/user-1000.slice/user@1000.service", "user@1000.service"},
	{"/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service"},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "foo.service"},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.x\\x2dy.scope", "app-org.x\\x2dy.scope"},
	{"/system.slice/dev-hugepages.mount", ""},
	{"/system.slice/" ID "-5e7a.service", ID "-5e7a.service"},
	/* others */
	{"/garden/3f2a", "3f2a"},
	{"/process_api/c19578932d61252ae4c2aab0d22f2071", ""},
	{"/user/1000.user/c2.session", ""},
	/* confusing */
	{"//docker//" ID "//", ID},
	{"docker/" ID, ID},
	{"/docker/" ID "0", ""},
	{"/x" ID, ""},
	{"/-" ID, ID},
	{"/conmon-" ID, ""},
	{"/.service", ""},
	{"/.scope", ""},
	{"/machine.slice/machine-.scope", "machine-.scope"},
	{"/systemd-nspawn@.service", "systemd-nspawn@.service"},
	{"/lxc.payload.", ""},
	{"/lxc.payload.a\\x00b\\x4", "a\\x00b\\x4"},
	{"/lxc/\xff\x1b[31m", "\xff\x1b[31m"},
	{"/system.slice/4F3A9D1C0B7E4F3A9D1C0B7E4F3A9D1C0B7E4F3A9D1C0B7E4F3A9D1C0B7E4F3A", ""},
};

static void test_paths(void **state)
{
	char name[NAME_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		/* A copy of just this size: the sanitizer sees a read beyond it. */
		char *path = strdup(paths[i].path);
		size_t length;

		strcpy(name, "untouched");
		length = sonde_container_of_path(path, name, sizeof(name));
		free(path);
		if (length != strlen(paths[i].name))
			print_error("%s\n", paths[i].path);
		assert_int_equal(length, strlen(paths[i].name));
		assert_string_equal(length ? name : "", paths[i].name);
	}
}

static void test_small_room(void **state)
{
	char name[4] = "xyz";

	assert_int_equal(sonde_container_of_path("/system.slice/nginx.service", name, sizeof(name)), 3);
	assert_string_equal(name, "ngi");
	assert_int_equal(sonde_container_of_path("/system.slice/nginx.service", name, 1), 0);
	assert_string_equal(name, "");
	assert_int_equal(sonde_container_of_path("/system.slice/nginx.service", NULL, 0), 0);
}

static void test_very_long_path(void **state)
{
	static char path[4 * PATH_MAX];
	char name[NAME_MAX + 1];

	memset(path, '/', sizeof(path) - 1);
	assert_int_equal(sonde_container_of_path(path, name, sizeof(name)), 0);
	memset(path, 'a', sizeof(path) - 1);
	memcpy(path + sizeof(path) - 10, ".service", 9);
	assert_int_equal(sonde_container_of_path(path, name, sizeof(name)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_small_room),
		cmocka_unit_test(test_very_long_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
