# The service alone: PostgreSQL and the model are elsewhere (DATABASE_URL, OPENAI_API_KEY).
FROM python:3.13-slim AS builder
COPY requirements/run.txt /tmp/run.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --require-hashes --only-binary :all: -r /tmp/run.txt \
    && /opt/venv/bin/python -m pip uninstall -q -y pip

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8000
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY alembic.ini ./
COPY chatcore ./chatcore
COPY adapters ./adapters
COPY app ./app
COPY migrations ./migrations
# Compiled now, because a container that may not write could never keep the result.
RUN python -m compileall -q chatcore adapters app migrations

# A number, so that Kubernetes can see that it is not root. No file belongs to it: nothing is written.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Without a proxy, whatever the environment says: the service is in this very container.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=2)"]
CMD ["python", "-m", "app", "serve"]
