@echo off
where node >nul 2>nul || (echo homing: Node.js 20 or newer is needed and was not found. Install it from https://nodejs.org 1>&2 & exit /b 1)
node "%~dp0installer\launch.mjs" %*
