# Four images: `vbn` (the command: workers and administration), `page` (the same, with Panel), `jupyter` (the same,
# with JupyterLab) and `maintenance` (the same, with MySQL's programs for backups). docker-compose.yml builds and
# runs them. They hold no settings and no passwords; any user id may run them. pip takes only the files whose hashes
# are in docker/requirements*.txt.
ARG PYTHON_IMAGE=python:3.13-slim
ARG MYSQL_IMAGE=mysql:9.7

# What changes seldom comes first: a change of our own code builds only the last layers anew.
FROM ${PYTHON_IMAGE} AS dependencies
COPY docker/requirements.txt /tmp/
# The packages' own tests are a fifth of their size.
RUN python3 -m venv --without-pip /opt/vbn \
    && pip --python /opt/vbn/bin/python install --no-cache-dir --requirement /tmp/requirements.txt \
    && find /opt/vbn -type d -name tests -prune -exec rm -r {} + \
    && mkdir --mode 1777 /home/vbn
ENV PATH=/opt/vbn/bin:$PATH \
    HOME=/home/vbn \
    USER=vbn \
    PYTHONUNBUFFERED=1

FROM dependencies AS package
COPY .dockerignore Dockerfile docker-compose.yml pyproject.toml README.md LICENSE /source/
COPY docker /source/docker
COPY notebooks /source/notebooks
COPY vbn /source/vbn
COPY schemas /source/schemas
COPY populate /source/populate
COPY vbn_datajoint /source/vbn_datajoint
RUN pip --python /opt/vbn/bin/python install --no-cache-dir --no-deps --prefix /package /source

FROM dependencies AS vbn
COPY --from=package /package /opt/vbn
USER 10001:10001
ENTRYPOINT ["vbn"]
CMD ["--help"]

FROM dependencies AS page-dependencies
COPY docker/requirements-page.txt /tmp/
RUN pip --python /opt/vbn/bin/python install --no-cache-dir --requirement /tmp/requirements-page.txt \
    && find /opt/vbn -type d -name tests -prune -exec rm -r {} +

FROM page-dependencies AS page
COPY --from=package /package /opt/vbn
USER 10001:10001
EXPOSE 5006
ENTRYPOINT ["vbn"]
CMD ["serve", "--host", "0.0.0.0"]

FROM dependencies AS jupyter-dependencies
COPY docker/requirements-jupyter.txt /tmp/
RUN pip --python /opt/vbn/bin/python install --no-cache-dir --requirement /tmp/requirements-jupyter.txt \
    && find /opt/vbn -type d -name tests -prune -exec rm -r {} + \
    && mkdir --mode 1777 /notebooks

FROM jupyter-dependencies AS jupyter
COPY --from=package /package /opt/vbn
USER 10001:10001
WORKDIR /notebooks
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--ServerApp.root_dir=/notebooks"]

# MySQL's programs for backups, with their libraries and loader: so they run on another system than theirs.
FROM ${MYSQL_IMAGE} AS mysql-client
RUN mkdir -p /client/bin /client/lib && cd /client \
    && for name in mysql mysqldump; do \
        cp -L "$(command -v $name)" lib/ \
        && cp -L $(ldd "lib/$name" | grep -o '/[^ ]*') lib/ \
        && printf '#!/bin/sh\nexec /opt/mysql/lib/ld.so --library-path /opt/mysql/lib /opt/mysql/lib/%s "$@"\n' "$name" >"bin/$name" \
        && chmod 755 "bin/$name"; \
    done && mv lib/ld-linux-* lib/ld.so

FROM vbn AS maintenance
COPY --from=mysql-client /client /opt/mysql
ENV PATH=/opt/mysql/bin:$PATH
