/* A small OpenAI-compatible Chat Completions provider, light enough not to be what is measured.
 * One thread, epoll, one heap of timers. Speaks just enough HTTP/1.1:
 *
 *   POST <anything>/chat/completions   the body decides whether the answer is a stream
 *   GET  /config?latency=MS&token=MS&tokens=N&burst=N   sets any of them, returns counters
 *
 * latency: until the first byte of an answer. token: between tokens, 0 for as fast as it can.
 * tokens: in an answer, 4 characters each. burst: tokens a write where token is 0. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long u64;
typedef struct {
  char* p;
  size_t len, pos, cap;
} buf;
typedef struct conn {
  int fd, slot, busy, stream, started, left, want_write, dead;
  u64 due;
  buf in, out;
} conn;

static struct {
  double latency, token;
  int tokens, burst;
} cfg = {0, 0, 100, 10};
static u64 requests, streams;
static int last_messages;
static int ep, tfd;
static conn** heap;
static int nheap, capheap;
static const char* WORDS[] = {"the ", "and ", "you ", "for ", "can ", "use ", "one ", "set "};
#define NWORDS 8

static u64 now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void put(buf* b, const char* s, size_t n) {
  if (b->len + n > b->cap) {
    b->cap = (b->len + n) * 2;
    b->p = realloc(b->p, b->cap);
  }
  memcpy(b->p + b->len, s, n);
  b->len += n;
}

/* ---- timer heap, keyed by due ---- */
static void hset(int i, conn* c) {
  heap[i] = c;
  c->slot = i;
}
static void up(int i) {
  conn* c = heap[i];
  while (i && heap[(i - 1) / 2]->due > c->due) {
    hset(i, heap[(i - 1) / 2]);
    i = (i - 1) / 2;
  }
  hset(i, c);
}
static void down(int i) {
  conn* c = heap[i];
  for (;;) {
    int k = 2 * i + 1;
    if (k >= nheap)
      break;
    if (k + 1 < nheap && heap[k + 1]->due < heap[k]->due)
      k++;
    if (heap[k]->due >= c->due)
      break;
    hset(i, heap[k]);
    i = k;
  }
  hset(i, c);
}
static void arm(conn* c, u64 due) {
  c->due = due;
  if (c->slot < 0) {
    if (nheap == capheap) {
      capheap = capheap ? capheap * 2 : 1024;
      heap = realloc(heap, capheap * sizeof *heap);
    }
    hset(nheap, c);
    up(nheap++);
  } else {
    up(c->slot);
    down(c->slot);
  }
}
static void disarm(conn* c) {
  if (c->slot < 0)
    return;
  int i = c->slot;
  c->slot = -1;
  if (i == --nheap)
    return;
  hset(i, heap[nheap]);
  up(i);
  down(heap[i]->slot);
}

static void drop(conn* c) {
  disarm(c);
  close(c->fd);
  c->dead = 1;
  free(c->in.p);
  free(c->out.p);
  c->in.p = c->out.p = 0;
}

static void flush(conn* c) {
  while (c->out.pos < c->out.len) {
    ssize_t n = write(c->fd, c->out.p + c->out.pos, c->out.len - c->out.pos);
    if (n < 0) {
      if (errno == EAGAIN) {
        if (!c->want_write) {
          struct epoll_event e = {EPOLLIN | EPOLLOUT, {.ptr = c}};
          epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
          c->want_write = 1;
        }
        return;
      }
      drop(c);
      return;
    }
    c->out.pos += n;
  }
  c->out.pos = c->out.len = 0;
  if (c->want_write) {
    struct epoll_event e = {EPOLLIN, {.ptr = c}};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
    c->want_write = 0;
  }
}

/* headers as a hosted provider sends them, so that clients parse a realistic number */
#define HEAD                                                                                     \
  "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: keep-alive\r\nServer: " \
  "fake\r\n"                                                                                     \
  "openai-organization: bench\r\nopenai-processing-ms: 1\r\nopenai-version: "                    \
  "2020-10-01\r\nx-envoy-upstream-service-time: 1\r\n"                                           \
  "x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: "                              \
  "200000\r\nx-ratelimit-remaining-requests: 9999\r\n"                                           \
  "x-ratelimit-remaining-tokens: 199990\r\nx-ratelimit-reset-requests: "                         \
  "8.64s\r\nx-ratelimit-reset-tokens: 6ms\r\n"                                                   \
  "x-request-id: req_0123456789abcdef0123456789abcdef\r\nX-Content-Type-Options: nosniff\r\n"
#define CHUNK                                                                                   \
  "{\"id\":\"chatcmpl-0123456789abcdefghijklmnopqrs\",\"object\":\"chat.completion.chunk\","    \
  "\"created\":1704067200,"                                                                     \
  "\"model\":\"fake-1\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\"," \
  "\"choices\":[{\"index\":0,\"delta\":%s,"                                                     \
  "\"logprobs\":null,\"finish_reason\":%s}]}"

static char WORD_CHUNK[NWORDS][640];
static int WORD_LEN[NWORDS];
static int frame(char* dst, size_t cap, const char* delta,
                 const char* finish) { /* one SSE event in one HTTP chunk */
  char j[512];
  int n = snprintf(j, sizeof j, "data: " CHUNK "\n\n", delta, finish);
  return snprintf(dst, cap, "%x\r\n%s\r\n", n, j);
}
static void init_frames(void) {
  for (int i = 0; i < NWORDS; i++) {
    char d[64];
    snprintf(d, sizeof d, "{\"content\":\"%s\"}", WORDS[i]);
    WORD_LEN[i] = frame(WORD_CHUNK[i], 640, d, "null");
  }
}

static void whole_answer(conn* c) {
  static char body[1 << 20], head[2048];
  int n = snprintf(body, sizeof body,
                   "{\"id\":\"chatcmpl-0123456789abcdefghijklmnopqrs\",\"object\":\"chat."
                   "completion\",\"created\":1704067200,"
                   "\"model\":\"fake-1\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
                   "\"assistant\",\"content\":\"");
  for (int i = 0; i < cfg.tokens; i++) {
    memcpy(body + n, WORDS[i % NWORDS], 4);
    n += 4;
  }
  n += snprintf(
      body + n, sizeof body - n,
      "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
      "\"usage\":{\"prompt_tokens\":300,\"completion_tokens\":%d,\"total_tokens\":%d,\"prompt_"
      "tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
      "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_"
      "prediction_tokens\":0,\"rejected_prediction_tokens\":0}},"
      "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\"}\n",
      cfg.tokens, cfg.tokens + 300);
  int h = snprintf(head, sizeof head,
                   HEAD "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", n);
  put(&c->out, head, h);
  put(&c->out, body, n);
}

static void parse(conn* c);
static void finish(conn* c) {
  c->busy = 0;
  if (!c->dead && c->in.len)
    parse(c);
}

static void fire(conn* c) { /* its timer is due: send the next part of the answer */
  disarm(c);
  if (!c->stream) {
    whole_answer(c);
    flush(c);
    finish(c);
    return;
  }
  if (!c->started) {
    char f[640];
    c->started = 1;
    c->left = cfg.tokens;
    put(&c->out,
        HEAD "Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n",
        sizeof(HEAD "Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n") -
            1);
    put(&c->out, f,
        frame(f, sizeof f, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null"));
  }
  while (c->left > 0) {
    int n = cfg.token > 0 ? 1 : cfg.burst;
    for (; n > 0 && c->left > 0; n--) {
      int w = c->left-- % NWORDS;
      put(&c->out, WORD_CHUNK[w], WORD_LEN[w]);
    }
    if (c->left == 0)
      break;
    flush(c);
    if (c->dead)
      return;
    if (cfg.token > 0) {
      arm(c, c->due + (u64)(cfg.token * 1e6));
      return;
    }
  }
  char f[640];
  put(&c->out, f, frame(f, sizeof f, "{}", "\"stop\""));
  put(&c->out, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n", 24);
  flush(c);
  if (!c->dead)
    finish(c);
}

static double arg(const char* q, const char* k, double d) {
  char pat[32];
  snprintf(pat, sizeof pat, "%s=", k);
  const char* s = strpbrk(q, "?");
  if (!s)
    return d;
  s = strstr(s, pat);
  return s ? atof(s + strlen(pat)) : d;
}
static void config(conn* c, char* line) {
  char* end = strchr(line, '\r');
  if (end)
    *end = 0;
  cfg.latency = arg(line, "latency", cfg.latency);
  cfg.token = arg(line, "token", cfg.token);
  cfg.tokens = arg(line, "tokens", cfg.tokens);
  cfg.burst = arg(line, "burst", cfg.burst);
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  char body[512], head[256];
  int n = snprintf(body, sizeof body,
                   "{\"requests\":%llu,\"streams\":%llu,\"last_messages\":%d,\"latency\":%g,"
                   "\"token\":%g,\"tokens\":%d,\"burst\":%d,\"cpu_ms\":%.3f}\n",
                   requests, streams, last_messages, cfg.latency, cfg.token, cfg.tokens, cfg.burst,
                   (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e3 +
                       (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e3);
  int h = snprintf(
      head, sizeof head,
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", n);
  put(&c->out, head, h);
  put(&c->out, body, n);
  flush(c);
}

static void parse(conn* c) { /* one whole request at the front of c->in, or nothing yet */
  if (c->busy || c->dead)
    return;
  char* end = memmem(c->in.p, c->in.len, "\r\n\r\n", 4);
  if (!end)
    return;
  size_t head = end - c->in.p + 4, body = 0;
  *end = 0;
  char* cl = strcasestr(c->in.p, "\r\ncontent-length:");
  if (cl)
    body = strtoul(cl + 17, 0, 10);
  int chunked = strcasestr(c->in.p, "\r\ntransfer-encoding: chunked") != 0,
      expect = strcasestr(c->in.p, "\r\nexpect:") != 0;
  *end = '\r';
  if (chunked || expect) {
    fprintf(stderr, "provider: chunked request bodies and Expect are not supported\n");
    drop(c);
    return;
  }
  if (c->in.len < head + body)
    return;
  char* b = c->in.p + head;
  if (!strncmp(c->in.p, "GET /config", 11))
    config(c, c->in.p);
  else {
    requests++;
    c->stream = memmem(b, body, "\"stream\":true", 13) || memmem(b, body, "\"stream\": true", 14);
    streams += c->stream;
    c->started = 0;
    c->busy = 1;
    last_messages = 0;
    for (char* p = b; (p = memmem(p, b + body - p, "\"role\"", 6)); p += 6)
      last_messages++;
  }
  if (c->dead)
    return;
  memmove(c->in.p, c->in.p + head + body, c->in.len - head - body);
  c->in.len -= head + body;
  if (!c->busy) {
    if (c->in.len)
      parse(c);
    return;
  }
  if (cfg.latency > 0)
    arm(c, now() + (u64)(cfg.latency * 1e6));
  else {
    c->due = now();
    fire(c);
  }
}

int main(int argc, char** argv) {
  int port = argc > 1 ? atoi(argv[1]) : 9100, one = 1;
  setvbuf(stdout, 0, _IOLBF, 0);
  init_frames();
  int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in a = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(ls, (void*)&a, sizeof a) || listen(ls, 4096)) {
    perror("provider");
    return 1;
  }
  ep = epoll_create1(0);
  tfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event e = {EPOLLIN, {.ptr = &ls}}, evs[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
  e.data.ptr = &tfd;
  epoll_ctl(ep, EPOLL_CTL_ADD, tfd, &e);
  u64 armed = 0;
  for (;;) {
    u64 next = nheap ? heap[0]->due : 0;
    if (next != armed) {
      struct itimerspec t = {{0, 0}, {next / 1000000000ull, next % 1000000000ull}};
      timerfd_settime(tfd, TFD_TIMER_ABSTIME, &t, 0);
      armed = next;
    }
    int n = epoll_wait(ep, evs, 256, -1);
    for (int i = 0; i < n; i++) {
      if (evs[i].data.ptr == &ls) {
        int fd;
        while ((fd = accept4(ls, 0, 0, SOCK_NONBLOCK)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          conn* c = calloc(1, sizeof *c);
          c->fd = fd;
          c->slot = -1;
          e.events = EPOLLIN;
          e.data.ptr = c;
          epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
        }
      } else if (evs[i].data.ptr == &tfd) {
        u64 x;
        if (read(tfd, &x, 8)) {
        }
        armed = 0;
      } else {
        conn* c = evs[i].data.ptr;
        if (evs[i].events & EPOLLOUT)
          flush(c);
        if (!c->dead && (evs[i].events & ~EPOLLOUT)) {
          char tmp[65536];
          ssize_t r = read(c->fd, tmp, sizeof tmp);
          if (r > 0) {
            put(&c->in, tmp, r);
            parse(c);
          } else if (r == 0 || errno != EAGAIN)
            drop(c);
        }
        if (c->dead)
          free(c);
      }
    }
    u64 t = now();
    while (nheap && heap[0]->due <= t) {
      conn* c = heap[0];
      fire(c);
      if (c->dead) { /* freed when epoll no longer knows it */
        free(c);
      }
    }
  }
}
