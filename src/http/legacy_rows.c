/* SPDX-License-Identifier: Apache-2.0 */
/* Old names for what columns hold today; a name whose value is not known is null, never a made-up constant. */
#include <http/legacy_rows.h>

#include <http/request.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define DROP_ENUM "skb_drop_reason"
#define DROP_PREFIX "SKB_DROP_REASON_"
#define DROP_REASONS_MAX 1024

void sonde_legacy_names_read(const struct sonde_view *view, struct sonde_legacy_names *ret_names)
{
	const struct sonde_names *names = view->names;

	ret_names->drop_reasons = names && names->kernel_enum ? names->kernel_enum(names->userdata, DROP_ENUM) :
								sonde_enum_of_kernel(DROP_ENUM);
}

static const struct sonde_value *row_value(const struct sonde_type *type, const struct sonde_value *values, const char *name)
{
	int column = sonde_type_find_column(type, name);

	return column >= 0 && values[column].type != SONDE_NULL ? &values[column] : NULL;
}

/* `,"old":value of the column` */
static void row_copy(const struct sonde_type *type, const struct sonde_value *values, const char *old, const char *name,
		     struct sonde_buffer *out)
{
	int column = sonde_type_find_column(type, name);

	sonde_buffer_printf(out, ",\"%s\":", old);
	if (column < 0)
		sonde_buffer_add_text(out, "null");
	else
		sonde_encode_json_value(&type->columns[column], &values[column], out);
}

static bool row_is(const struct sonde_value *value, const char *text)
{
	return value && value->type == SONDE_TEXT && value->length == strlen(text) && !memcmp(value->text, text, value->length);
}

static void row_connection(const struct sonde_type *type, const struct sonde_value *values, struct sonde_buffer *out)
{
	const struct sonde_value *address = row_value(type, values, "remote_address"),
				 *port = row_value(type, values, "remote_port"), *error = row_value(type, values, "errno"),
				 *protocol = row_value(type, values, "protocol");
	bool is_v4 = address && !memcmp(address->address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	char text[INET6_ADDRSTRLEN] = "";

	row_copy(type, values, "destination_ip", "remote_address", out);
	row_copy(type, values, "destination_port", "remote_port", out);
	sonde_buffer_add_text(out, ",\"destination\":");
	if (address && port) {
		inet_ntop(is_v4 ? AF_INET : AF_INET6, address->address + (is_v4 ? 12 : 0), text, sizeof(text));
		sonde_buffer_printf(out, is_v4 ? "\"%s:%llu\"" : "\"[%s]:%llu\"", text, (unsigned long long)port->u);
	} else {
		sonde_buffer_add_text(out, "null");
	}
	sonde_buffer_printf(out, ",\"address_family\":%d,", !address ? 0 : is_v4 ? AF_INET : AF_INET6);
	sonde_json_text(out, "socket_type", row_is(protocol, "TCP") ? "STREAM" : row_is(protocol, "UDP") ? "DGRAM" : NULL);
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "return_code", error ? -error->i : 0);
}

static void row_drop(const struct sonde_legacy_names *names, const struct sonde_type *type, const struct sonde_value *values,
		     struct sonde_buffer *out)
{
	const struct sonde_value *reason = row_value(type, values, "reason");
	int code = -1;

	for (int i = 0; reason && names->drop_reasons && i < DROP_REASONS_MAX && code < 0; i++) {
		const char *name = sonde_enum_name(names->drop_reasons, i);

		if (name && row_is(reason, strncmp(name, DROP_PREFIX, strlen(DROP_PREFIX)) ? name : name + strlen(DROP_PREFIX)))
			code = i;
	}
	row_copy(type, values, "drop_reason", "reason", out);
	sonde_buffer_add_text(out, ",\"drop_reason_code\":");
	if (code >= 0)
		sonde_buffer_add_i64(out, code);
	else
		sonde_buffer_add_text(out, "null");
	row_copy(type, values, "skb_length", "length_bytes", out);
}

void sonde_legacy_row(const struct sonde_legacy_names *names, const struct sonde_type *type, const struct sonde_value *values,
		      struct sonde_buffer *out)
{
	sonde_encode_json(type, values, out);
	/* Goes on inside the object that was just closed. */
	if (sonde_buffer_error(out))
		return;
	out->length--;
	sonde_buffer_add_char(out, ',');
	sonde_json_i64(out, "timestamp_ns", values[SONDE_COLUMN_TIME].i);
	row_copy(type, values, "wall_time", "time", out);
	if (!strcmp(type->name, "connection"))
		row_connection(type, values, out);
	else if (!strcmp(type->name, "packet_drop"))
		row_drop(names, type, values, out);
	sonde_buffer_add_char(out, '}');
}
