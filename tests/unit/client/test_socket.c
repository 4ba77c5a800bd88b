/* test_socket.c - plain sockets, and the bell that interrupts them. */
#include "client/socket.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/env.h"
#include "client/scripted.h"
#include "support/check.h"

static trib_time_ns now(void) {
    return trib_env_system()->monotonic(NULL);
}

static const struct scripted_step held = {.expected = "GET", .holds = true};

struct world {
    struct trib_sockets sockets;
    struct trib_transport transport;
    struct scripted server;
    void *connection;
};

/* A connection whose other side has read a request and says nothing. */
static void set_up(struct world *world, uint32_t idle_ms) {
    char text[128];
    assert_true(trib_sockets_init(&world->sockets, idle_ms));
    world->transport = trib_sockets_transport(&world->sockets);
    scripted_start(&world->server, &held, 1);
    assert_int_equal(world->transport.connect(world->transport.context, world->server.host,
                                              world->server.port, &world->connection, text,
                                              sizeof text),
                     0);
    const char *request = "GET / HTTP/1.1\r\n\r\n";
    assert_int_equal(world->transport.write(world->transport.context, world->connection, request,
                                            strlen(request)),
                     strlen(request));
}

static void tear_down(struct world *world) {
    world->transport.close(world->transport.context, world->connection);
    scripted_finish(&world->server);
    scripted_release(&world->server);
    trib_sockets_deinit(&world->sockets);
}

static void *ring_later(void *context) {
    usleep(50000);
    trib_sockets_ring(context);
    return NULL;
}

static void the_bell_ends_a_read_in_progress(void **state) {
    (void)state;
    struct world world;
    pthread_t thread;
    char byte;
    set_up(&world, 60000);
    assert_int_equal(pthread_create(&thread, NULL, ring_later, &world.sockets), 0);
    trib_time_ns before = now();
    assert_int_equal(world.transport.read(world.transport.context, world.connection, &byte, 1), -1);
    assert_true(now() - before < 20 * TRIB_SECOND);
    pthread_join(thread, NULL);
    assert_int_equal(world.transport.wait(world.transport.context, world.connection, 60000), -1);
    tear_down(&world);
}

static void the_bell_rings_until_it_is_silenced(void **state) {
    (void)state;
    struct world world;
    set_up(&world, 60000);
    assert_false(trib_sockets_is_ringing(&world.sockets));
    for (int i = 0; i < 200000; i++) {
        trib_sockets_ring(&world.sockets); /* more than a pipe holds */
    }
    assert_true(trib_sockets_is_ringing(&world.sockets));
    assert_true(trib_sockets_is_ringing(&world.sockets));
    assert_false(trib_sockets_pause(&world.sockets, 60000));
    trib_sockets_silence(&world.sockets);
    assert_false(trib_sockets_is_ringing(&world.sockets));
    assert_int_equal(world.transport.wait(world.transport.context, world.connection, 0), 0);
    tear_down(&world);
}

static void a_pause_takes_its_time(void **state) {
    (void)state;
    struct trib_sockets sockets;
    assert_true(trib_sockets_init(&sockets, 1000));
    trib_time_ns before = now();
    assert_true(trib_sockets_pause(&sockets, 30));
    assert_true(now() - before >= 30 * TRIB_MILLISECOND);
    assert_true(trib_sockets_pause(&sockets, -5));
    trib_sockets_deinit(&sockets);
}

static void silence_has_a_limit(void **state) {
    (void)state;
    struct world world;
    char byte;
    set_up(&world, 20);
    assert_int_equal(world.transport.read(world.transport.context, world.connection, &byte, 1), -1);
    assert_int_equal(world.transport.wait(world.transport.context, world.connection, 10), 0);
    tear_down(&world);
}

static void a_full_connection_gives_up(void **state) {
    (void)state;
    static char bytes[1 << 20];
    struct scripted_step deaf = {.expected = "GET", .is_early = true, .reply = "no"};
    struct world world = {.connection = NULL};
    char text[128];
    assert_true(trib_sockets_init(&world.sockets, 60000));
    world.transport = trib_sockets_transport(&world.sockets);
    scripted_start(&world.server, &deaf, 1);
    assert_int_equal(world.transport.connect(world.transport.context, world.server.host,
                                             world.server.port, &world.connection, text,
                                             sizeof text),
                     0);
    memcpy(bytes, "GET / HTTP/1.1\r\n\r\n", 18);
    trib_time_ns before = now();
    long sent = 1;
    for (int i = 0; i < 1000 && sent > 0; i++) {
        sent =
            world.transport.write(world.transport.context, world.connection, bytes, sizeof bytes);
    }
    assert_int_equal(sent, -1); /* at once: there is something to read */
    assert_true(now() - before < 10 * TRIB_SECOND);
    assert_int_equal(world.transport.wait(world.transport.context, world.connection, 0), 1);
    assert_int_equal(world.transport.read(world.transport.context, world.connection, text, 8), 2);
    tear_down(&world);
}

static void nobody_there_is_told(void **state) {
    (void)state;
    const struct trib_transport *transport = trib_socket_transport();
    char port[8];
    char text[128] = "";
    void *connection = NULL;
    scripted_free_port(port);
    assert_int_equal(
        transport->connect(transport->context, "127.0.0.1", port, &connection, text, sizeof text),
        -1);
    assert_string_equal(text, "Connection refused");
    assert_int_equal(transport->connect(transport->context, "unix:/nowhere/at/all", "", &connection,
                                        text, sizeof text),
                     -1);
    assert_string_equal(text, "No such file or directory");
    char path[300];
    snprintf(path, sizeof path, "unix:/%0200d", 0);
    assert_int_equal(
        transport->connect(transport->context, path, "", &connection, text, sizeof text), -1);
    assert_string_equal(text, "File name too long");
    assert_int_equal(transport->connect(transport->context, "no.such.host.invalid", port,
                                        &connection, text, sizeof text),
                     -1);
    assert_true(text[0] != '\0');
}

/* --- through a proxy -------------------------------------------------------------------------- */

static int connect_by_proxy(const struct scripted_step *steps, size_t count, char *text,
                            size_t text_room) {
    struct world world = {.connection = NULL};
    assert_true(trib_sockets_init(&world.sockets, 60000));
    scripted_start(&world.server, steps, count);
    strcpy(world.sockets.proxy.host, world.server.host);
    strcpy(world.sockets.proxy.port, world.server.port);
    strcpy(world.sockets.proxy.credentials, "c2VjcmV0");
    world.transport = trib_sockets_transport(&world.sockets);
    text[0] = '\0';
    int result = world.transport.connect(world.transport.context, "lab.invalid", "7700",
                                         &world.connection, text, text_room);
    if (result == 0) {
        char reply[16] = "";
        const char *request = "GET / HTTP/1.1\r\n\r\n";
        assert_int_equal(world.transport.write(world.transport.context, world.connection, request,
                                               strlen(request)),
                         strlen(request));
        assert_int_equal(world.transport.read(world.transport.context, world.connection, reply, 15),
                         5);
        assert_string_equal(reply, "hello");
        world.transport.close(world.transport.context, world.connection);
    }
    scripted_finish(&world.server);
    assert_string_equal(world.server.requests[0].head,
                        "CONNECT lab.invalid:7700 HTTP/1.1\r\nHost: lab.invalid:7700\r\n"
                        "Proxy-Authorization: Basic c2VjcmV0\r\n\r\n");
    assert_null(strstr(text, "c2VjcmV0"));
    scripted_release(&world.server);
    trib_sockets_deinit(&world.sockets);
    return result;
}

static void a_proxy_makes_a_tunnel(void **state) {
    (void)state;
    char text[192];
    const struct scripted_step steps[] = {
        /* A length in such an answer means nothing (RFC 9110 section 9.3.6). */
        {.expected = "CONNECT ", .reply = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"},
        {.expected = "GET / ", .reply = "hello", .holds = true},
    };
    assert_int_equal(connect_by_proxy(steps, 2, text, sizeof text), 0);
}

static void what_a_proxy_refuses_is_told(void **state) {
    (void)state;
    static const struct {
        struct scripted_step step;
        int result;
        const char *text;
    } rows[] = {
        {{"CONNECT ", "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", .closes = true},
         TRIB_CONNECT_REFUSED,
         "wants another user and password"},
        {{"CONNECT ", "HTTP/1.1 403 No\r\n\r\n", .closes = true},
         TRIB_CONNECT_REFUSED,
         "does not allow this host and port (403)"},
        {{"CONNECT ", "HTTP/1.1 502 No\r\n\r\n", .closes = true}, -1, "cannot reach the daemon"},
        {{"CONNECT ", "HTTP/1.1 299", .closes = true}, -1, "lost the connection"},
        {{"CONNECT ", "220 smtp.lab\r\n\r\n", .closes = true}, -1, "does not speak HTTP"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[192];
        assert_int_equal(connect_by_proxy(&rows[i].step, 1, text, sizeof text), rows[i].result);
        if (strstr(text, rows[i].text) == NULL || strncmp(text, "proxy 127.0.0.1 port ", 21) != 0) {
            fail_msg("%s", text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bell_ends_a_read_in_progress),
        cmocka_unit_test(the_bell_rings_until_it_is_silenced),
        cmocka_unit_test(a_pause_takes_its_time),
        cmocka_unit_test(silence_has_a_limit),
        cmocka_unit_test(a_full_connection_gives_up),
        cmocka_unit_test(nobody_there_is_told),
        cmocka_unit_test(a_proxy_makes_a_tunnel),
        cmocka_unit_test(what_a_proxy_refuses_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
