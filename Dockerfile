# The image of every process of a vault (docs/OPERATIONS.md "Many machines"): which one it is, the command says.
#
#   docker build -t mosaik .
#   docker run … mosaik node workers/store.ts

FROM node:24-bookworm-slim AS build
WORKDIR /app
# The npm package `node` brings a second Node 24, as on machines that have an older one; here the image's own is used.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier
COPY tsconfig.json ./
COPY scripts/build-kernel.ts scripts/build-player.ts scripts/
COPY src src
RUN node scripts/build-kernel.ts && node scripts/build-player.ts

FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier

FROM node:24-bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends ffmpeg bubblewrap socat \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/build build
COPY package.json LICENSE ./
COPY src src
COPY workers workers
RUN printf '#!/bin/sh\nexec node /app/src/main/cli.ts "$@"\n' >/usr/local/bin/mosaik && chmod 755 /usr/local/bin/mosaik
# Named volumes take owner and mode from here.
RUN install -d -o node -g node -m 0700 /data /data/spool
USER node
# The same flags as bin/mosaik gives.
ENV NODE_ENV=production MOSAIK_DATA=/data
ENV NODE_OPTIONS="--max-semi-space-size=2 --disable-warning=ExperimentalWarning"
ENV GLIBC_TUNABLES=glibc.malloc.hugetlb=1
EXPOSE 8420
# Signals reach the process itself: it hands back its work on SIGTERM.
CMD ["node", "workers/api.ts"]
