/* Closed-loop load generator for chat turns: one thread, epoll, keep-alive connections.
 *
 *   -p PORT   -u PATH   -c CONNECTIONS   -d SECONDS   -w WARM_UP_SECONDS   -r RAMP_SECONDS
 *   -n MOST_TURNS   -s TURNS_A_SESSION
 *   -b BODY   first question of a session
 *   -B BODY   further question; %S is the session
 *   -k KEY    what follows it in an answer, up to the next quote, is the session
 *   -m MARK   text of one token in a stream: the first is timed, and the gaps between them
 *   -e MUST   text that every good answer holds
 *   -S FILE   sessions to use instead, one a line, in turn: only further questions are asked
 *   -H LINE   one more header, as "Name: value"
 *   -g        GET without a body; %S in the path is the session
 *
 * Each connection asks, reads the whole answer and asks again, until the time is over; what is
 * under way then is waited for. Prints one JSON object. Times are milliseconds; a gap is the time
 * since the token before, 0 where both were read at once. Turns count from the start, latencies
 * after the warm-up alone. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  double* v;
  size_t n, cap;
} vec;
static void add(vec* a, double x) {
  if (a->n == a->cap) {
    a->cap = a->cap ? a->cap * 2 : 4096;
    a->v = realloc(a->v, a->cap * sizeof(double));
  }
  a->v[a->n++] = x;
}
static int cmp(const void* a, const void* b) {
  double x = *(double*)a, y = *(double*)b;
  return (x > y) - (x < y);
}
static double pct(vec* a, double p) {
  if (!a->n)
    return -1;
  size_t i = p * (a->n - 1) + .5;
  return a->v[i];
}
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

typedef struct {
  int fd, up, busy, turns, head;
  long body, chunked, status;
  double start, last;
  size_t scan;
  int marks;
  char sid[80];
  char* in;
  size_t len, cap;
} conn;

static int port = 8000, nconn = 1, per_session = 10;
static long max_turns = 1L << 60;
static double duration = 5, warmup = 0, ramp = 0;
static int get = 0;
static const char* header = "";
static const char *path = "/chat", *mark = 0, *must = "\"session_id\"", *key = "\"session_id\":";
static const char* body_new =
    "{\"message\":\"How do I start a ROS 2 node from Python, and where do its logs go?\"}";
static const char* body_next =
    "{\"message\":\"How do I start a ROS 2 node from Python, and where do its logs "
    "go?\",\"session_id\":\"%S\"}";
static char** sids;
static size_t nsids, next_sid;
static vec lat, ttft, gap;
static long turns, errors, tokens, started, reconnects;
static double t0, t_end;
static int ep;
static char first_error[400];

static void fail(conn* c, const char* why) {
  if (!errors++)
    snprintf(first_error, sizeof first_error, "%s: %.300s", why, c->in && c->len ? c->in : "");
}
static void dial(conn* c) {
  struct sockaddr_in a = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  if (c->up) {
    close(c->fd);
    reconnects++;
  }
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  c->up = 1;
  if (connect(c->fd, (void*)&a, sizeof a)) {
    perror("load: connect");
    exit(1);
  }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct epoll_event e = {EPOLLIN, {.ptr = c}};
  epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}
/* Copies a template with the session in place of each %S; returns the length. */
static int fill(char* to, size_t cap, const char* s, const char* sid) {
  size_t n = 0;
  for (; *s && n + sizeof(((conn*)0)->sid) < cap; s++) {
    if (s[0] == '%' && s[1] == 'S') {
      n += sprintf(to + n, "%s", sid);
      s++;
    } else
      to[n++] = *s;
  }
  to[n] = 0;
  return n;
}
static void ask(conn* c) {
  char body[8192], where[512], req[9600];
  int n = 0, h;
  if (started >= max_turns || now() >= t_end) {
    c->busy = 0;
    return;
  }
  if (nsids)
    snprintf(c->sid, sizeof c->sid, "%s", sids[next_sid++ % nsids]);
  else if (c->turns >= per_session) {
    c->sid[0] = 0;
    c->turns = 0;
  }
  fill(where, sizeof where, path, c->sid);
  if (get)
    h = snprintf(req, sizeof req, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\n%s\r\n",
                 where, port, header);
  else {
    n = fill(body, sizeof body, c->sid[0] ? body_next : body_new, c->sid);
    h = snprintf(req, sizeof req,
                 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\n%sContent-Type: "
                 "application/json\r\nContent-Length: %d\r\n\r\n%s",
                 where, port, header, n, body);
  }
  c->len = c->scan = c->marks = c->head = 0;
  c->busy = 1;
  c->start = c->last = now();
  started++;
  if (write(c->fd, req, h) != h) {
    fail(c, "write");
    dial(c);
    ask(c);
  }
}
static int complete(conn* c) { /* 1 when the whole answer is in c->in */
  if (!c->head) {
    char* e = memmem(c->in, c->len, "\r\n\r\n", 4);
    if (!e)
      return 0;
    *e = 0;
    c->head = e - c->in + 4;
    c->status = atoi(c->in + 9);
    char* l = strcasestr(c->in, "\r\ncontent-length:");
    c->body = l ? atol(l + 17) : -1;
    c->chunked = strcasestr(c->in, "\r\ntransfer-encoding: chunked") != 0;
    *e = '\r';
  }
  if (c->chunked)
    return c->len >= 5 && !memcmp(c->in + c->len - 5, "0\r\n\r\n", 5);
  return c->body >= 0 && (long)c->len >= c->head + c->body;
}
static void arrived(conn* c) {
  double t = now();
  size_t ml = mark ? strlen(mark) : 0;
  int fresh = 0;
  c->in[c->len] = 0;
  if (mark) {
    char* p;
    while ((p = memmem(c->in + c->scan, c->len - c->scan, mark, ml))) {
      c->scan = p - c->in + ml;
      fresh++;
    }
    int in_window = t >= t0 + warmup * 1e3;
    if (fresh && in_window) {
      if (!c->marks)
        add(&ttft, t - c->start);
      else
        add(&gap, t - c->last);
      for (int i = 1; i < fresh; i++)
        add(&gap, 0);
    }
    if (fresh) {
      c->marks += fresh;
      c->last = t;
      tokens += fresh;
    }
  }
  if (!complete(c))
    return;
  if (c->status != 200)
    fail(c, "status");
  else if (!memmem(c->in + c->head, c->len - c->head, must, strlen(must)) || (mark && !c->marks))
    fail(c, "content");
  else {
    turns++;
    c->turns++;
    if (t >= t0 + warmup * 1e3 && t <= t_end)
      add(&lat, t - c->start);
    char* k = c->sid[0] ? 0 : memmem(c->in + c->head, c->len - c->head, key, strlen(key));
    if (k) {
      k += strlen(key);
      while (*k == ' ' || *k == '"')
        k++;
      size_t n = strcspn(k, "\"");
      if (n < sizeof c->sid) {
        memcpy(c->sid, k, n);
        c->sid[n] = 0;
      }
    }
  }
  ask(c);
}
int main(int argc, char** argv) {
  int o;
  while ((o = getopt(argc, argv, "p:u:c:d:w:n:r:s:b:B:k:m:e:S:H:g")) != -1)
    switch (o) {
      case 'p':
        port = atoi(optarg);
        break;
      case 'u':
        path = optarg;
        break;
      case 'c':
        nconn = atoi(optarg);
        break;
      case 'd':
        duration = atof(optarg);
        break;
      case 'w':
        warmup = atof(optarg);
        break;
      case 'n':
        max_turns = atol(optarg);
        break;
      case 'r':
        ramp = atof(optarg);
        break;
      case 's':
        per_session = atoi(optarg);
        break;
      case 'b':
        body_new = optarg;
        break;
      case 'B':
        body_next = optarg;
        break;
      case 'k':
        key = optarg;
        break;
      case 'm':
        mark = optarg;
        break;
      case 'e':
        must = optarg;
        break;
      case 'g':
        get = 1;
        break;
      case 'H': {
        char line[600];
        snprintf(line, sizeof line, "%s\r\n", optarg);
        header = strdup(line);
        break;
      }
      case 'S': {
        FILE* f = fopen(optarg, "r");
        char line[128];
        if (!f) {
          perror(optarg);
          return 1;
        }
        while (fgets(line, sizeof line, f)) {
          line[strcspn(line, "\n")] = 0;
          if (*line) {
            sids = realloc(sids, (nsids + 1) * sizeof *sids);
            sids[nsids++] = strdup(line);
          }
        }
        fclose(f);
        break;
      }
      default:
        return 2;
    }
  ep = epoll_create1(0);
  conn* cs = calloc(nconn, sizeof *cs);
  for (int i = 0; i < nconn; i++) {
    cs[i].cap = 65536;
    cs[i].in = malloc(cs[i].cap + 1);
  }
  t0 = now();
  t_end = t0 + (warmup + duration) * 1e3;
  struct epoll_event evs[256];
  int up = 0;
  for (;;) {
    double t = now();
    while (up < nconn && t < t_end && t >= t0 + ramp * 1e3 * up / nconn) {
      dial(&cs[up]);
      ask(&cs[up++]);
    }
    int busy = 0;
    for (int i = 0; i < up; i++)
      busy += cs[i].busy;
    if (up == nconn || t >= t_end) {
      if (!busy)
        break;
    }
    if (t > t_end + 10e3) {
      for (int i = 0; i < up; i++)
        if (cs[i].busy)
          fail(&cs[i], "unanswered 10 s after the end");
      break;
    }
    int n = epoll_wait(ep, evs, 256, up < nconn ? 1 : 100);
    for (int i = 0; i < n; i++) {
      conn* c = evs[i].data.ptr;
      if (c->len + 32768 > c->cap) {
        c->cap *= 2;
        c->in = realloc(c->in, c->cap + 1);
      }
      ssize_t r = read(c->fd, c->in + c->len, c->cap - c->len);
      if (r > 0) {
        c->len += r;
        if (c->busy)
          arrived(c);
      } else if (r == 0 || errno != EAGAIN) {
        if (c->busy)
          fail(c, "closed");
        dial(c);
        if (c->busy) {
          c->sid[0] = 0;
          ask(c);
        }
      }
    }
  }
  double wall = (now() - t0) / 1e3;
  qsort(lat.v, lat.n, 8, cmp);
  qsort(ttft.v, ttft.n, 8, cmp);
  qsort(gap.v, gap.n, 8, cmp);
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  for (char* p = first_error; *p; p++)
    if (*p == '"' || *p == '\\' || *p < 32)
      *p = ' ';
  printf(
      "{\"turns\":%ld,\"errors\":%ld,\"reconnects\":%ld,\"wall_s\":%.3f,\"window_turns\":%zu,"
      "\"turns_per_s\":%.2f,"
      "\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"max\":%.3f,\"tokens\":%ld,\"ttft_p50\":%.3f,\"ttft_"
      "p99\":%.3f,"
      "\"gap_p50\":%.3f,\"gap_p99\":%.3f,\"gap_p999\":%.3f,\"gap_max\":%.3f,\"load_cpu_ms\":%.1f,"
      "\"first_error\":\"%s\"}\n",
      turns, errors, reconnects, wall, lat.n, lat.n / duration, pct(&lat, .5), pct(&lat, .95),
      pct(&lat, .99), pct(&lat, 1), tokens, pct(&ttft, .5), pct(&ttft, .99), pct(&gap, .5),
      pct(&gap, .99), pct(&gap, .999), pct(&gap, 1),
      (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e3 +
          (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e3,
      first_error);
  return 0;
}
